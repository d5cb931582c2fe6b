package main

import "testing"

func TestGarbageIsCollectedWhereItIsMostOfTheHeapAndNobodyAllocates(t *testing.T) {
	const mb = 1 << 20
	var w heapWatch
	for i, step := range []struct {
		heap, use int64
		due       bool
	}{
		{5 * mb, 0, false},
		{10 * mb, 0, false},
		{10 * mb, 0, false}, // little
		{100 * mb, 90 * mb, false},
		{100 * mb, 90 * mb, false}, // in use
		{100 * mb, 60 * mb, false}, // most of it
		{100 * mb, 10 * mb, true},
		{110 * mb, 10 * mb, false}, // somebody allocates
		{60 * mb, 10 * mb, false},  // was collected by itself
		{60 * mb, 10 * mb, true},
	} {
		due := w.due(step.heap, step.use)
		if due != step.due {
			t.Errorf("step %d, a heap of %d bytes with %d in use: %t, want %t", i, step.heap, step.use, due, step.due)
		}
	}
}

func TestACollectionInVainIsNotRepeated(t *testing.T) {
	const mb = 1 << 20
	var w heapWatch
	for i, step := range []struct {
		heap, left int64
		due        bool
	}{
		{100 * mb, 0, false},
		{100 * mb, 95 * mb, true}, // 95 are left
		{95 * mb, 0, false},
		{95 * mb, 0, false},
		{120 * mb, 0, false},
		{120 * mb, 95 * mb, true},
		{20 * mb, 0, false},
		{20 * mb, 0, false},
		{40 * mb, 0, false},
		{40 * mb, 20 * mb, true},
	} {
		due := w.due(step.heap, 0)
		if due != step.due {
			t.Errorf("step %d, a heap of %d bytes: %t, want %t", i, step.heap, due, step.due)
		}
		if due {
			w.left = step.left
		}
	}
}
