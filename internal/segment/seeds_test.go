package segment

import _ "github.com/weirlog/weir/internal/simulation/seeds" // for go test ./internal/... -sim.seeds=N
