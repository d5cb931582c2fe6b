package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A machine that loses its power keeps what was synced, and nothing else for
// certain: the file must be before it takes its place, and its place after that.
func TestFileAndDirectoryAreSynced(t *testing.T) {
	path, o := newDir(t), inBlocks(64)
	above, temporary := filepath.Dir(path), filepath.Join(path, "tokens.new")
	var synced []string
	o.sync = func(f *os.File) error {
		synced = append(synced, f.Name())
		switch content, err := os.ReadFile(temporary); {
		case f.Name() == temporary && (err != nil || string(content) != record(1064)):
			t.Errorf("%s is synced when it holds %q, %v", temporary, content, err)
		case f.Name() == path && stored(t, path) != 1064:
			t.Errorf("%s is synced when %d is stored", path, stored(t, path))
		}
		return f.Sync()
	}
	d := mustOpen(t, path+"/", clock(1000), o)
	if want := []string{above, temporary, path}; !slices.Equal(synced, want) {
		t.Errorf("synced is %q, want %q", synced, want)
	}
	d.kill()
	synced = nil
	o.block = 0 // to store the same number
	mustOpen(t, path, clock(1064), o)
	if want := []string{temporary, path}; !slices.Equal(synced, want) {
		t.Errorf("where the directory exists, synced is %q, want %q", synced, want)
	}
}

func TestWhatCannotBeSyncedIsNotReserved(t *testing.T) {
	for _, fails := range []string{"tokens.new", "."} {
		t.Run(fails, func(t *testing.T) {
			path, o := newDir(t), inBlocks(64)
			failing, lost := false, errors.New("input/output error")
			o.sync = func(f *os.File) error {
				if failing && f.Name() == filepath.Join(path, fails) {
					return lost
				}
				return f.Sync()
			}
			d := mustOpen(t, path, clock(1000), o)
			failing = true
			if err := d.reserve(); !errors.Is(err, lost) {
				t.Errorf("reserving says %v", err)
			}
			if got, want := d.Stats(), (Stats{1, 1, true}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			d.kill()
			if _, err := open(path, clock(1000), o); !errors.Is(err, lost) {
				t.Errorf("opening says %v", err)
			}
			failing = false
			if n := stored(t, path); n < 1064 {
				t.Errorf("%d is stored, which is less than was", n)
			}
		})
	}
}
