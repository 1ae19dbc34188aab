// SPDX-License-Identifier: Apache-2.0

package stgraph

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// checkpoint is a net of one unit that forecasts 2 tanh(z) of the last value, in safetensors form.
func checkpoint() []byte {
	var header, data bytes.Buffer
	put := func(name string, shape string, numbers ...float32) {
		first := data.Len()
		for _, x := range numbers {
			bits := math.Float32bits(x)
			data.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
		}
		if header.Len() > 0 {
			header.WriteByte(',')
		}
		fmt.Fprintf(&header, `"%s":{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}`, name, shape, first, data.Len())
	}
	for part, update := range map[string]float32{"encoder": -100, "decoder": 100} {
		cell := part + "_model.dcgru_layers.0.gconv_"
		look := float32(0)
		if part == "encoder" {
			look = 1
		}
		put(cell+"weight_(2, 2)", "2,2", 0, 0, 0, 0)
		put(cell+"biases_2", "2", 0, update)
		put(cell+"weight_(2, 1)", "2,1", look, 0)
		put(cell+"biases_1", "1", 0)
	}
	put("decoder_model.projection_layer.weight", "1,1", 2)
	put("decoder_model.projection_layer.bias", "1", 0)
	text := "{" + header.String() + "}"
	length := make([]byte, 8)
	binary.LittleEndian.PutUint64(length, uint64(len(text)))
	return append(append(length, text...), data.Bytes()...)
}

func TestImport(t *testing.T) {
	m, err := ImportModel(checkpoint(), ImportOptions{Column: "calls", History: 3, Horizon: 2, WindowNs: window})
	none(t, err)
	if i := m.Info(); i.Kind != "dcrnn_series" || len(i.Inputs) != 1 || i.Inputs[0] != "calls" || i.Horizon != 2 {
		t.Fatalf("%+v", i)
	}
	_, err = NewSession(m)
	wants(t, err, ErrNotFound)
	_, err = NewSessionWith(m, SessionOptions{Mean: []float64{1}})
	wants(t, err, ErrInvalid)
	_, err = ImportModel(checkpoint(), ImportOptions{Format: "keras"})
	wants(t, err, ErrInvalid)
	_, err = ImportModel(nil, ImportOptions{})
	wants(t, err, ErrFormat)
	s, err := NewSessionWith(m, SessionOptions{Mean: []float64{40}, Deviation: []float64{8}, Supports: SupportsExact})
	none(t, err)
	b, err := NewGraphBuilder()
	none(t, err)
	var g *Graph
	for i := uint64(0); i < 4; i++ {
		g = smallGraph(t, b, i, 30+float64(i))
		none(t, s.Step(g, nil))
	}
	f, err := s.Forecast(2)
	none(t, err)
	calls, _ := f.Mean(Node, "calls", 1)
	seen, _ := g.Column(Node, "calls")
	for i := 1; i < len(calls); i++ { // the first is external, which has no calls
		if want := 2*math.Tanh((seen[i]-40)/8)*8 + 40; math.Abs(calls[i]-want) > 1e-4 {
			t.Fatal(i, calls[i], want)
		}
	}
}
