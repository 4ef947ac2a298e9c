-- Names of the engine's enums for Lua: each is there, a misspelt one is an error; states of runs
-- mean what their rows say.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local t = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")

t.ok(enum.state.RUNNING == "running" and enum.entry.SET == "set"
  and enum.series.EXPERT_NORM == "expert_norm" and enum.live.PLAN == "plan" and
  enum.effect.LEAST == "least", "constants are the names")
t.refuses(function() return enum.state.RUNING end, "a misspelt one", "no state RUNING")
local names = engine.enums()
t.is(table.concat(names.state, " "),
  "new running paused done stopped failed crashed damaged unreadable unknown", "all states")
t.is(table.concat(names.live, " "), "next plan never", "all that a change does")
t.is(table.concat(names.effect, " "), "rate least none", "all effects")
local kinds = engine.entry_kinds()
for _, name in ipairs(names.entry) do t.ok(kinds[name], "entries: " .. name) end
local owned = {}
for _, name in ipairs(names.state) do owned[#owned + 1] = engine.is_owned(name) and name or nil end
t.is(table.concat(owned, " "), "running paused", "states that a process keeps up")
t.is(engine.is_owned "of a newer program", false, "and of what is not known nobody says so")

-- A store's state is one of them, and without its owner it is not true.
for _, name in ipairs {"running", "paused", "done", "stopped", "failed"} do
  local s = assert(engine.store_create{name = "as-" .. name})
  s:status{state = name, step = 1, steps = 2}
  assert(s:flush())
  local r = assert(engine.store_open("as-" .. name))
  t.is(r:info().state, name, "stored and read: " .. name)
  s:close()
  t.is(r:info().state, engine.is_owned(name) and "crashed" or name, "... without its owner")
  r:close()
end
local s = assert(engine.store_create{name = "odd"})
t.refuses(function() s:status{state = "runing"} end, "no state of a run is stored",
  "no run is in state 'runing'")
s:close()

t.done()
