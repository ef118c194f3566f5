// Package config is what can be set.
package config
