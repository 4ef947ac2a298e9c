-- Whoever takes a name of Lua's or of this program for a variable has changed his own names only:
-- the program's own code goes on to see what it was written for.  TAP.

local users, own = _G, {}
for name, value in pairs(users) do own[name] = value end
local _ENV = own -- of this file
local complete = require "switchyard.prompt.complete"
-- as tests/scratch.sh made it
local folder = require("switchyard.engine").runs_dir() .. "/names-model"
local tap = loadfile(os.getenv "srcdir" .. "/tests/lua/tap.lua", "t", own)()
local ok, is = tap.ok, tap.is

local d = data.synthetic{tokens = 1e4}
local m = model.moe{layers = 1, dim = 16, heads = 1, experts = 2, expert_dim = 16, context = 8,
                    vocab = 256}
local r = train(m, d, {steps = 20, batch = 2, checkpoint_every = 10, name = "names",
                    paused = true})
every(r, 7, function() end)

for name in pairs(own) do users[name] = 0 end
users.r, users.m = r, m

r:resume():wait()
is(r.state, "done", "a run")
is(#m:generate({7}, {tokens = 3, temperature = 0}) > 0, true, "ids")
ok(m:loss{1, 2, 3, 4, 5, 6, 7, 8, 9} > 0, "a loss")
r:rewind(12):wait()
is(r.step, 12, "a rewind")
r:resume():wait()
local fork = r:fork{step = 12, name = "forked"}
fork:wait()
is(fork:hash(), r:hash(), "a fork")
is(replay("names").text, "identical through step 20", "a replay")
ok(tostring(compare{r, fork}):find("forked", 1, true), "a comparison, as text")
ok(tostring(runs()):find("names", 1, true) and tostring(runs "names"):find("step 20/20", 1, true),
  "a list of runs, and one")
r:note "x"
ok(tostring(r:journal()):find("note  x", 1, true), "a journal, as text")
is(tostring(tensor.ones(2, 2).shape), "{2, 2}", "a shape, as text")
ok(tostring(r:why(12)):find("gradients", 1, true), "r:why")
ok(complete.lines "r.los":find("loss", 1, true), "completion")
m:save(folder)
is(model.load(folder):loss{1, 2, 3, 4, 5}, m:loss{1, 2, 3, 4, 5}, "a model is saved and read")
is(users.load, 0, "all names are still the user's")
tap.done()
