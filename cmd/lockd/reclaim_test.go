package main

import "testing"

// A heapStep is a look at the heap, in MB, and what is to come of it.
type heapStep struct {
	heap, use int64
	due       bool
	left      int64 // by the collection, where it is due
}

func wantDue(t *testing.T, steps []heapStep) {
	t.Helper()
	const mb = 1 << 20
	var w heapWatch
	for i, step := range steps {
		due := w.due(step.heap*mb, step.use*mb)
		if due != step.due {
			t.Errorf("step %d, a heap of %d MB with %d in use: %t, want %t", i, step.heap, step.use, due, step.due)
		}
		if due {
			w.left = step.left * mb
		}
	}
}

func TestGarbageIsCollectedWhereItIsMostOfTheHeapAndNobodyAllocates(t *testing.T) {
	wantDue(t, []heapStep{
		{heap: 5},
		{heap: 10},
		{heap: 10}, // little
		{heap: 100, use: 90},
		{heap: 100, use: 90}, // in use
		{heap: 100, use: 60}, // most of it
		{heap: 100, use: 10, due: true},
		{heap: 110, use: 10}, // somebody allocates
		{heap: 60, use: 10},  // was collected by itself
		{heap: 60, use: 10, due: true},
	})
}

func TestACollectionInVainIsNotRepeated(t *testing.T) {
	wantDue(t, []heapStep{
		{heap: 100},
		{heap: 100, due: true, left: 95},
		{heap: 95},
		{heap: 95},
		{heap: 120},
		{heap: 120, due: true, left: 95},
		{heap: 20},
		{heap: 20},
		{heap: 40},
		{heap: 40, due: true, left: 20},
	})
}
