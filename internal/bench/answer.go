package bench

import (
	"bytes"
	"strings"
)

// A step is a request, without its line end, and what is a right answer to it.
type step struct {
	request string
	answer  answer
}

// An answer says what a line must look like, without its line end.
type answer struct {
	mark    string // before a number
	counted bool   // a number comes first, above 0
	zero    bool   // the number may be 0 as well
	text    string // all that is left, or its beginning where there is an end
	end     string // "": text is all
	refusal string // also right, but it says no; "": nothing else is right
}

func exactly(text string) answer { return answer{text: text} }

// A verdict is what is to be thought of an answer.
type verdict int

const (
	wrong verdict = iota
	right
	refused // right, and says no
)

// judge is called for every answer, so it does not allocate.
func (a *answer) judge(line []byte) verdict {
	if a.refusal != "" && string(line) == a.refusal {
		return refused
	}
	if a.counted {
		var ok bool
		if line, ok = a.number(line); !ok {
			return wrong
		}
	}
	if a.end == "" {
		return verdictOf(string(line) == a.text)
	}
	return verdictOf(len(line) >= len(a.text)+len(a.end) &&
		string(line[:len(a.text)]) == a.text && string(line[len(line)-len(a.end):]) == a.end)
}

func verdictOf(ok bool) verdict {
	if ok {
		return right
	}
	return wrong
}

// number takes the number off a line.
func (a *answer) number(line []byte) (rest []byte, ok bool) {
	if len(line) < len(a.mark) || string(line[:len(a.mark)]) != a.mark {
		return line, false
	}
	line = line[len(a.mark):]
	rest = bytes.TrimLeft(line, "0123456789")
	digits := line[:len(line)-len(rest)]
	return rest, len(digits) > 0 && (a.zero || digits[0] != '0')
}

// A script is what one connection says over and over, made up beforehand.
type script struct {
	answers  []answer // one for each request of the cycle
	last     []bool   // the request is the last of its operation
	requests []byte   // the cycle, and as much of it again as a batch is long
	ends     []int    // of each request in requests
	farewell string   // a last request, "" for none; its answer is a line
}

// newScript makes up what connection number id of a target says.
func newScript(t Target, m Mix, depth, id int, own, hot string) *script {
	s := new(script)
	sequence := m.sequence()
	var lines []string
	for i := range sequence { // each begins elsewhere, so that they are not all in step
		o := sequence[(i+id)%len(sequence)]
		steps := stepsOf(t.Kind, o, own, hot)
		for j, st := range steps {
			lines = append(lines, st.request+"\n")
			s.answers = append(s.answers, st.answer)
			s.last = append(s.last, j == len(steps)-1)
		}
	}
	for i := range len(lines) + depth {
		s.requests = append(s.requests, lines[i%len(lines)]...)
		s.ends = append(s.ends, len(s.requests))
	}
	if farewell, _ := farewells(t.Kind); farewell != nil {
		s.farewell = farewell(own) + "\n"
	}
	return s
}

func stepsOf(k Kind, o operation, own, hot string) []step {
	steps := o.stepsFor(k)(own, hot)
	if k == Echo {
		for i := range steps {
			steps[i].answer = exactly(steps[i].request)
		}
	}
	return steps
}

// farewells are the requests that delete what operations leave on a server whose
// keys outlive connections: what is a connection's, and what is everybody's. They
// are nil for others.
func farewells(k Kind) (own, hot func(name string) string) {
	switch k {
	case Redis:
		return redisFarewell, redisLastFarewell
	case Memcached:
		return memcachedFarewell, memcachedLastFarewell
	}
	return nil, nil
}

// batch is the bytes of n requests, the first being that number of the cycle.
func (s *script) batch(first, n int) []byte {
	from := 0
	if first > 0 {
		from = s.ends[first-1]
	}
	return s.requests[from:s.ends[first+n-1]]
}

// request is the text of a request, for people.
func (s *script) request(i int) string {
	return strings.TrimSpace(string(s.batch(i, 1)))
}
