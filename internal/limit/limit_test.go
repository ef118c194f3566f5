package limit

import (
	"testing"
	"time"
)

func TestEachKeyHasItsOwnBucket(t *testing.T) {
	l, now := New[string](60), time.Now()
	for i := range 60 {
		if ok, left, _ := l.Take("a", now); !ok || left != 59-i {
			t.Fatalf("number %d: %v, %d left", i, ok, left)
		}
	}
	if ok, left, wait := l.Take("a", now); ok || left != 0 || wait != time.Second {
		t.Errorf("one too many: %v, %d left, wait %v", ok, left, wait)
	}
	if wait := l.Wait("a", now); wait != time.Second {
		t.Errorf("wait %v", wait)
	}
	if ok, _, _ := l.Take("b", now); !ok || l.Wait("c", now) != 0 {
		t.Error("one key limits another")
	}
	if ok, left, _ := l.Take("a", now.Add(time.Second)); !ok || left != 0 {
		t.Errorf("a second later: %v, %d left", ok, left)
	}
	if ok, left, _ := l.Take("a", now.Add(time.Hour)); !ok || left != 59 {
		t.Errorf("an hour later: %v, %d left", ok, left)
	}
}

func TestNoLimit(t *testing.T) {
	l, now := New[int](0), time.Now()
	for i := range 1000 {
		if ok, _, wait := l.Take(i%2, now); !ok || wait != 0 || l.Wait(i%2, now) != 0 {
			t.Fatal("limited")
		}
	}
	if len(l.byKey) != 0 {
		t.Errorf("%d keys are remembered for nothing", len(l.byKey))
	}
}

func TestNumberOfKeysIsBounded(t *testing.T) {
	l, now := New[int](1), time.Now()
	for i := range 3 * maxKeys {
		if l.Take(i, now); len(l.byKey) > maxKeys {
			t.Fatalf("%d keys", len(l.byKey))
		}
	}
	// Keys with full buckets are removed before others.
	l = New[int](1)
	for i := range maxKeys {
		l.Take(i, now)
	}
	later := now.Add(2 * time.Minute)
	for i := range maxKeys/2 + 1 {
		l.Take(-1-i, later)
	}
	for i := range maxKeys/2 + 1 {
		if l.Wait(-1-i, later) == 0 {
			t.Fatalf("key %d is forgotten", -1-i)
		}
	}
}

func TestForgottenKeysAreReset(t *testing.T) {
	l, now := New[int](1), time.Now()
	for i := range 10 {
		l.Take(i, now)
	}
	l.Forget(func(i int) bool { return i%2 == 0 })
	for i := range 10 {
		if ok, _, _ := l.Take(i, now); ok != (i%2 == 0) {
			t.Errorf("key %d: %t", i, ok)
		}
	}
}
