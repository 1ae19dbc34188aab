// SPDX-License-Identifier: Apache-2.0

package stgraph

/*
#include <stgraph/stgraph.h>
*/
import "C"

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
)

// Stateful are the objects whose state outlives the process: Monitor, Ingest, Session, Detector, Planner and
// Trainer.
type Stateful interface{ stateful() *handle }

func (m *Monitor) stateful() *handle  { return m.handle }
func (in *Ingest) stateful() *handle  { return in.handle }
func (s *Session) stateful() *handle  { return s.handle }
func (d *Detector) stateful() *handle { return d.handle }
func (p *Planner) stateful() *handle  { return p.handle }
func (t *Trainer) stateful() *handle  { return t.handle }

// SaveState puts all that the object is in the middle of into the bundle, under "state/", by name.
func SaveState(object Stateful, b *Bundle) error {
	h := object.stateful()
	defer runtime.KeepAlive(object)
	defer runtime.KeepAlive(b.handle)
	var e C.stg_error
	return checkText(C.stg_state_save(h.use(), b.c(), &e), &e)
}

// RestoreState makes the object go on, to the last bit, where the one was that saved its state. Options and
// model are those it was made with. Errors: ErrNotFound, ErrVersion, ErrFormat, ErrMismatch (saved with
// another model, window or sketch key), ErrState (an ingest that has lanes already); it is then as before.
func RestoreState(object Stateful, b *Bundle) error {
	h := object.stateful()
	defer runtime.KeepAlive(object)
	defer runtime.KeepAlive(b.handle)
	var e C.stg_error
	return checkText(C.stg_state_restore(h.use(), b.c(), &e), &e)
}

// SaveStateFile writes the state to a file of its own; readers see the old or the new one.
func SaveStateFile(object Stateful, path string) error {
	b, err := NewBundle()
	if err != nil {
		return err
	}
	defer b.Close()
	if err := SaveState(object, b); err != nil {
		return err
	}
	return b.Save(path)
}

// RestoreStateFile reads it back; an error that wraps fs.ErrNotExist when there is no such file.
func RestoreStateFile(object Stateful, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err := OpenBundle(path)
	if err != nil {
		return err
	}
	defer b.Close()
	return RestoreState(object, b)
}
