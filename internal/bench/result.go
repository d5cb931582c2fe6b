package bench

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Figures are what was measured, or medians of it. A latency is the time from
// sending a batch to having read the request's answer.
type Figures struct {
	OpsPerSecond float64 `json:"ops_per_second"` // requests that were answered rightly
	P50          float64 `json:"p50_microseconds"`
	P99          float64 `json:"p99_microseconds"`
	P999         float64 `json:"p99_9_microseconds"`
	Max          float64 `json:"max_microseconds"`
	// ServerCPU and GeneratorCPU are user and system time. The server's is nil where
	// its process is not known.
	ServerCPU    *float64 `json:"server_cpu_microseconds_per_operation"`
	GeneratorCPU *float64 `json:"generator_cpu_microseconds_per_operation"`
}

// A Round is one measurement of a target.
type Round struct {
	Seconds   float64 `json:"duration_seconds"` // without the warm-up
	Succeeded int64   `json:"operations"`       // requests that were answered rightly
	Refused   int64   `json:"refused"`          // those of them whose answer was no, where that is right
	Figures
	Errors     int64  `json:"errors"` // wrong answers and lost connections, those of the warm-up included
	FirstError string `json:"first_error,omitempty"`
}

// A Result is what came out for a target. Where the run was broken off it may have
// fewer rounds than others, or none.
type Result struct {
	Target Target
	Rounds []Round
}

func newRound(window time.Duration, sum tally, latencies *hdrhistogram.Histogram, used cpu) Round {
	r := Round{Seconds: window.Seconds(), Succeeded: sum.succeeded, Refused: sum.refused, Errors: sum.errors}
	if sum.firstError != nil {
		r.FirstError = sum.firstError.Error()
	}
	if window > 0 {
		r.OpsPerSecond = float64(sum.succeeded) / window.Seconds()
	}
	r.P50 = float64(latencies.ValueAtPercentile(50))
	r.P99 = float64(latencies.ValueAtPercentile(99))
	r.P999 = float64(latencies.ValueAtPercentile(99.9))
	r.Max = float64(latencies.Max())
	r.ServerCPU, r.GeneratorCPU = used.server.per(sum.succeeded), used.own.per(sum.succeeded)
	return r
}

// Median has the median of each figure over the rounds.
func (r Result) Median() Figures {
	return Figures{
		OpsPerSecond: r.median(func(f Figures) float64 { return f.OpsPerSecond }),
		P50:          r.median(func(f Figures) float64 { return f.P50 }),
		P99:          r.median(func(f Figures) float64 { return f.P99 }),
		P999:         r.median(func(f Figures) float64 { return f.P999 }),
		Max:          r.median(func(f Figures) float64 { return f.Max }),
		ServerCPU:    r.medianIfKnown(func(f Figures) *float64 { return f.ServerCPU }),
		GeneratorCPU: r.medianIfKnown(func(f Figures) *float64 { return f.GeneratorCPU }),
	}
}

func (r Result) median(figure func(Figures) float64) float64 {
	var all []float64
	for _, x := range r.Rounds {
		all = append(all, figure(x.Figures))
	}
	m, _ := median(all)
	return m
}

func (r Result) medianIfKnown(figure func(Figures) *float64) *float64 {
	var all []float64
	for _, x := range r.Rounds {
		if v := figure(x.Figures); v != nil {
			all = append(all, *v)
		}
	}
	if m, ok := median(all); ok {
		return &m
	}
	return nil
}

// Ratio is r's throughput by another's: the median of the ratios in the rounds that
// both have. It is not known where the other has answered nothing.
func (r Result) Ratio(to Result) (ratio float64, known bool) {
	var all []float64
	for i := range min(len(r.Rounds), len(to.Rounds)) {
		if base := to.Rounds[i].OpsPerSecond; base > 0 {
			all = append(all, r.Rounds[i].OpsPerSecond/base)
		}
	}
	return median(all)
}

// Errors counts the errors of all rounds and has the text of the first.
func (r Result) Errors() (n int64, first string) {
	for _, x := range r.Rounds {
		n += x.Errors
		if first == "" {
			first = x.FirstError
		}
	}
	return n, first
}

// Failed tells that in one of the rounds nothing worked.
func (r Result) Failed() bool { return slices.ContainsFunc(r.Rounds, Round.failed) }

// failed is without a single right answer. One that is only too slow for the
// measurement's end has no errors.
func (r Round) failed() bool { return r.Succeeded == 0 && r.Errors > 0 }

func median(all []float64) (m float64, ok bool) {
	n := len(all)
	if n == 0 {
		return 0, false
	}
	slices.Sort(all)
	return (all[(n-1)/2] + all[n/2]) / 2, true
}
