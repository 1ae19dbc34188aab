// SPDX-License-Identifier: Apache-2.0

// Package scenario reads what happens in a recording: its length, the day pattern, how many
// attacks and confounders of which kind.
package scenario

import (
	"encoding/json"
	"fmt"
	"os"
)

// Range is a closed interval to draw from.
type Range [2]float64

// Memory is the slow process that modulates the session rate: a log-AR(1).
type Memory struct {
	SD   float64 `json:"sd"`
	TauS float64 `json:"tau_s"`
}

// Attacks says which attacks are drawn.
type Attacks struct {
	Each        int      `json:"each"`
	Classes     []string `json:"classes"`
	Rotate      bool     `json:"rotate_extra"`
	Strength    Range    `json:"strength"`
	Seconds     Range    `json:"seconds"`
	RampShare   float64  `json:"ramp_share"`
	InFlash     int      `json:"in_flash"`
	AtPeak      int      `json:"at_peak"`
	MinRequests float64  `json:"min_requests"`
	Alternate   bool     `json:"alternate_tools"`
}

// Scenario is the whole file.
type Scenario struct {
	Name        string         `json:"name"`
	Minutes     float64        `json:"minutes"`
	DayS        float64        `json:"day_s"`
	Swing       float64        `json:"swing"`
	RateScale   float64        `json:"rate_scale"`
	Memory      Memory         `json:"memory"`
	WarmupS     float64        `json:"warmup_s"`
	GapS        float64        `json:"gap_s"`
	CalmGapS    float64        `json:"calm_gap_s"`
	PieceS      float64        `json:"piece_s"`
	LeadS       float64        `json:"lead_s"`
	Attacks     Attacks        `json:"attacks"`
	Confounders map[string]int `json:"confounders"`
	FlashFactor Range          `json:"flash_factor"`
	FlashS      Range          `json:"flash_s"`
	SlowFactor  Range          `json:"slow_factor"`
	MarkPeaks   bool           `json:"mark_peaks"`
}

// Load reads and checks a scenario file.
func Load(path string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Scenario{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Check says what is wrong with the numbers.
func (s *Scenario) Check() error {
	positive := map[string]float64{"minutes": s.Minutes, "day_s": s.DayS, "piece_s": s.PieceS,
		"swing": s.Swing, "rate_scale": s.RateScale, "memory.tau_s": s.Memory.TauS}
	for name, v := range positive {
		if v <= 0 {
			return fmt.Errorf("%s must be positive", name)
		}
	}
	for name, r := range map[string]Range{"attacks.strength": s.Attacks.Strength,
		"attacks.seconds": s.Attacks.Seconds, "flash_factor": s.FlashFactor,
		"flash_s": s.FlashS, "slow_factor": s.SlowFactor} {
		if r[0] < 0 || r[1] < r[0] {
			return fmt.Errorf("%s is not a range", name)
		}
	}
	for _, c := range s.Attacks.Classes {
		if !known(Classes, c) {
			return fmt.Errorf("unknown attack class %q", c)
		}
	}
	for c := range s.Confounders {
		if !known(Confounders, c) {
			return fmt.Errorf("unknown confounder %q", c)
		}
	}
	return nil
}

// Classes are the attack classes, in the order in which extra attacks rotate: the two that hit
// the login route fall into different recordings.
var Classes = []string{"ddos_volumetric", "http_flood", "slow_dos", "brute_force",
	"cred_stuffing", "bot_registration", "xss"}

// Confounders are the benign events that a scenario can ask for.
var Confounders = []string{"flash_crowd", "deploy", "slow_dependency", "retry_storm"}

func known(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
