package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"lockd/internal/bench"
)

// A benchReport is what --json prints.
type benchReport struct {
	Settings    benchSettings `json:"settings"`
	Host        hostFacts     `json:"host"`
	Interrupted bool          `json:"interrupted"`
	Targets     []benchTarget `json:"targets"`
}

type benchSettings struct {
	Connections   int     `json:"connections"`
	PipelineDepth int     `json:"pipeline_depth"`
	Operations    string  `json:"operations"`
	Duration      float64 `json:"duration_seconds"`
	Warmup        float64 `json:"warmup_seconds"`
	Rounds        int     `json:"rounds"`
}

// hostFacts tell where the generator ran.
type hostFacts struct {
	CPUs         int    `json:"cpus"`
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	GoVersion    string `json:"go_version"`
	LockdVersion string `json:"lockd_version"`
}

type benchTarget struct {
	Name   string             `json:"name"`
	PID    int                `json:"pid,omitempty"`
	Median *bench.Figures     `json:"median"`                        // null where there is no round
	Ratios map[string]float64 `json:"throughput_ratio_to,omitempty"` // by the name of the other
	Rounds []bench.Round      `json:"rounds"`
}

// print prints the results as they were asked for.
func (o *benchOptions) print(env environment, results []bench.Result, interrupted bool) error {
	if o.asJSON {
		return o.printJSON(env.stdout, results, interrupted)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d connections, pipeline %d, %d × %v\n", o.mix, o.connections, o.depth, o.rounds, o.duration)
	b.WriteString(o.table(results).render(screenOf(env.stdout, env)))
	for _, r := range results {
		if n, first := r.Errors(); n > 0 {
			fmt.Fprintf(&b, "%s: errors: %d, the first: %s\n", printable(r.Target.Name), n, printable(first))
		}
	}
	if interrupted {
		fmt.Fprintf(&b, "interrupted in round %d of %d\n", max(1, len(results[0].Rounds)), o.rounds)
	}
	_, err := io.WriteString(env.stdout, b.String())
	return err
}

func (o *benchOptions) printJSON(w io.Writer, results []bench.Result, interrupted bool) error {
	report := benchReport{
		Settings: benchSettings{
			o.connections, o.depth, o.mix.String(), o.duration.Seconds(), o.warmup.Seconds(), o.rounds,
		},
		Host: benchHost(), Interrupted: interrupted,
	}
	for _, r := range results {
		t := benchTarget{Name: r.Target.Name, PID: r.Target.PID, Rounds: append([]bench.Round{}, r.Rounds...)}
		if len(r.Rounds) > 0 {
			m := r.Median()
			t.Median = &m
		}
		for _, to := range results[1:] {
			if ratio, known := r.Ratio(to); known {
				if t.Ratios == nil {
					t.Ratios = make(map[string]float64)
				}
				t.Ratios[to.Target.Name] = ratio
			}
		}
		report.Targets = append(report.Targets, t)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

// table shows a line for each server, and a column for each that it is compared
// with.
func (o *benchOptions) table(results []bench.Result) *textTable {
	l := &textTable{
		columns: []string{"server", "ops/s", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs/op", "errors"},
		elastic: []int{0},
	}
	for _, to := range results[1:] {
		l.columns = append(l.columns, "÷ "+printable(to.Target.Name))
	}
	for i := range l.columns[1:] {
		l.numbers = append(l.numbers, i+1)
	}
	for _, r := range results {
		l.add(benchRow(r, results[1:])...)
	}
	return l
}

func benchRow(r bench.Result, comparisons []bench.Result) []string {
	m := r.Median()
	errors, _ := r.Errors()
	row := []string{
		printable(r.Target.Name), whole(m.OpsPerSecond), whole(m.P50), whole(m.P99), whole(m.P999), unknown, strconv.FormatInt(errors, 10),
	}
	if len(r.Rounds) == 0 { // broken off before its turn
		row = []string{printable(r.Target.Name), unknown, unknown, unknown, unknown, unknown, unknown}
	}
	if m.ServerCPU != nil {
		row[5] = strconv.FormatFloat(*m.ServerCPU, 'f', 2, 64)
	}
	for _, to := range comparisons {
		cell := unknown
		if ratio, known := r.Ratio(to); known {
			cell = strconv.FormatFloat(ratio, 'f', 2, 64)
		}
		row = append(row, cell)
	}
	return row
}

// unknown stands for a figure that there is not.
const unknown = "-"

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
