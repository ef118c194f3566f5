package query

import "strings"

// String returns the query in normal form. For a query that Parse made, Parse of this text returns an equal tree.
func (q *Query) String() string {
	var b strings.Builder
	write(&b, q.Root)
	return b.String()
}

func write(b *strings.Builder, n Node) {
	switch n := n.(type) {
	case All:
		b.WriteByte('*')
	case Term:
		writeTerm(b, n)
	case Not:
		b.WriteString("not ")
		writeWithin(b, n.Node)
	case And:
		writeJoined(b, n, "and")
	case Or:
		writeJoined(b, n, "or")
	}
}

// writeWithin writes an operand of not.
func writeWithin(b *strings.Builder, n Node) {
	if nodes := joined(n); nodes == nil || fieldOf(nodes) != "" {
		write(b, n)
		return
	}
	b.WriteByte('(')
	write(b, n)
	b.WriteByte(')')
}

// writeJoined writes nodes with a word between them. Consecutive terms of one field become a list.
func writeJoined(b *strings.Builder, nodes []Node, word string) {
	for i := 0; i < len(nodes); {
		if i > 0 {
			b.WriteString(" " + word + " ")
		}
		if list := listed(nodes[i:]); list > 1 {
			writeList(b, nodes[i:i+list], word)
			i += list
			continue
		}
		switch n := nodes[i].(type) {
		case Or:
			writeWithin(b, n)
		default:
			write(b, n)
		}
		i++
	}
}

// fieldOf returns the field of the nodes if they can be written as one list, and "" otherwise.
func fieldOf(nodes []Node) Field {
	if len(nodes) > 1 && listed(nodes) == len(nodes) {
		return nodes[0].(Term).Field
	}
	return ""
}

// listed returns the number of nodes, from the first, that can be in one list.
func listed(nodes []Node) (n int) {
	var f Field
	for _, node := range nodes {
		t, ok := node.(Term)
		if _, comparison := t.Match.(Comparison); !ok || comparison || t.Field == "" || n > 0 && t.Field != f {
			break
		}
		f = t.Field
		n++
	}
	return n
}

func writeList(b *strings.Builder, nodes []Node, word string) {
	for i, n := range nodes {
		t := n.(Term)
		if i == 0 {
			b.WriteString(string(t.Field) + ":(")
		} else {
			b.WriteString(" " + word + " ")
		}
		b.WriteString(conditionText(t.Match, true))
	}
	b.WriteByte(')')
}

func writeTerm(b *strings.Builder, t Term) {
	c, ok := t.Match.(Comparison)
	switch {
	case ok:
		b.WriteString(string(t.Field) + " " + string(c.Op) + " " + c.Number + c.Time.Text)
		return
	case t.Field != "":
		b.WriteString(string(t.Field) + ":")
	}
	b.WriteString(conditionText(t.Match, t.Field != ""))
}

// conditionText returns the text after the colon.
func conditionText(m Condition, hasField bool) string {
	switch m := m.(type) {
	case Value:
		if m.Text == "" || strings.ContainsAny(m.Text, "\\") || !plainWord(m.Text) || m.Text[0] == '-' && !hasField {
			return quote(m.Text)
		}
		if read, _, expected := word(m.Text, hasField); expected != "" || read != Condition(m) {
			return quote(m.Text)
		}
		return m.Text
	case Pattern:
		text := patternText(m, alwaysEscaped)
		if _, _, expected := word(text, hasField); expected != "" {
			return patternText(m, alwaysEscaped+"&+-/")
		}
		return text
	case Network:
		return m.String()
	case During:
		return m.Time.Text
	}
	return "*"
}

// plainWord tells whether a text can be written without quotes.
func plainWord(text string) bool {
	p := &parser{text: text}
	return p.plain() == nil && p.i == len(text)
}

// alwaysEscaped are the characters that need a backslash in a pattern.
const alwaysEscaped = " ()<>=\"\\*:!,;'`[]{}?|"

func patternText(m Pattern, escaped string) string {
	var b strings.Builder
	for i, part := range m.Parts {
		if i > 0 {
			b.WriteByte('*')
		}
		for i := range len(part) {
			if strings.IndexByte(escaped, part[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(part[i])
		}
	}
	return b.String()
}
