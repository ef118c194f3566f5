package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weirlog/weir/internal/visible"
)

// asker asks the user questions. The caller must call end.
type asker interface {
	ask(question string) (string, error)
	secret(question string) (string, error) // does not show the typed text
	end()
}

// newAsker returns an asker that uses the terminal if standard input is one, and otherwise reads lines of standard
// input.
func newAsker(cmd *cobra.Command) (asker, error) {
	in := interruptible(cmd.Context(), cmd.InOrStdin())
	f, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isTerminal(f) {
		return lines{bufio.NewReader(io.LimitReader(in, maxAnswers))}, nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, raw(cmd.ErrOrStderr())}, "")
	return &dialog{t, int(f.Fd()), state}, nil
}

const maxAnswers = 64 << 10 // bytes

// lines reads the answers from lines, and shows no questions.
type lines struct{ in *bufio.Reader }

func (l lines) ask(question string) (string, error) {
	line, err := l.in.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	if errors.Is(err, io.EOF) {
		return "", &exit{2, errors.New("standard input ends before the answer to: " + strings.TrimSuffix(question, ": "))}
	}
	return strings.TrimSpace(line), err
}

func (l lines) secret(question string) (string, error) { return l.ask(question) }
func (l lines) end()                                   {}

// dialog asks on a terminal. The terminal is in raw mode until end, so an interrupt is read as a character.
type dialog struct {
	terminal *term.Terminal
	fd       int
	before   *term.State
}

var errNoAnswer = errors.New("no answer was given")

func (d *dialog) ask(question string) (string, error) {
	d.terminal.SetPrompt(visible.Text(question))
	return answer(d.terminal.ReadLine())
}

func (d *dialog) secret(question string) (string, error) {
	return answer(d.terminal.ReadPassword(visible.Text(question)))
}

func answer(line string, err error) (string, error) {
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	if errors.Is(err, io.EOF) {
		err = errNoAnswer
	}
	return strings.TrimSpace(line), err
}

func (d *dialog) end() { term.Restore(d.fd, d.before) }
