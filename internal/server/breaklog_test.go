package server_test

import "testing"

// Who asks later why a job has ended finds it in the log.
func TestBreaksAndKicksAreLogged(t *testing.T) {
	s := start(t, adminsAreAll)
	admin, holder := s.connect("unix"), s.connect("tcp4")
	admin.ask("iam night shift", "1 ok\n")
	holder.ask("iam backup", "1 ok\n")
	holder.ask("g nightly", "1 Lock Get Success: nightly\n")
	admin.ask("fr x 0 nightly", "1 ok count=1\n")
	want := `level=INFO msg="lock broken" lock=nightly shared=false by="night shift" disconnected=1 first=backup`
	if s.logs.count(want) != 1 {
		t.Errorf("the log has no %s", want)
	}

	other := s.connect("tcp4")
	other.ask("i nightly", "0 Lock Not Locked: nightly\n") // accepted
	address := other.conn.LocalAddr().String()
	admin.ask("kick "+address, "1 ok count=1\n")
	want = `level=INFO msg="client disconnected by another" address=` + address + ` by="night shift" disconnected=1 first=` + address
	if s.logs.count(want) != 1 {
		t.Errorf("the log has no %s", want)
	}

	admin.ask("fr x 0 nightly", "0 not held: nightly\n")
	if n := s.logs.count("lock broken"); n != 1 {
		t.Errorf("%d breaks are logged, one was", n)
	}
}
