//go:build race

package main

// memoryIsReal is false because the race detector keeps a shadow of all memory.
const memoryIsReal = false
