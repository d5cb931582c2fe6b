// Package human shows to people what they can read: quantities, and text that comes
// from others.
package human

import (
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Age shows a duration by its two largest units, from days to seconds: 3m12s,
// 4d2h. Less than a second is 0s.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// Bytes shows a number of bytes in binary units.
func Bytes(bytes int64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// Digits shows a number with its digits in groups of three.
func Digits(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:] // narrow no-break space
	}
	return digits
}

// Hidden tells the runes that a terminal does not simply show: controls, the
// marks that turn the direction of writing, spaces that are not one. What ranging
// over invalid UTF-8 yields is among them.
func Hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
