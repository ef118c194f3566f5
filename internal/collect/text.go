package collect

import "strings"

// bounded returns the beginning of a text that others may have made long.
func bounded(text string) string {
	if len(text) <= maxError {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.ToValidUTF8(text[:maxError], "") + "…"
}
