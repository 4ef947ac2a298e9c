-- What keeps experts balanced, and what it costs: no rule at all, the balance loss, biases that
-- follow the loads, and the quantile, each with a capacity of 1.25 and without, at equal tokens.
-- Then the same live, on one run: the loss is turned off, the loads are watched, it is turned on
-- again with the starved experts drawn anew; a fork goes from before that as if nothing had been,
-- and the run itself is taken back there.
--
--     switchyard examples/balance.lua [STEPS]
--
-- The text is synthetic, of eight domains and known entropy.  All numbers but the seconds are
-- functions of STEPS.  The bake-off is in the folder balance-STEPS where runs are kept; written are
-- balance.md and balance.svg, and balance-live.svg with both curves of the second part.

local USAGE = "usage: switchyard examples/balance.lua [STEPS]\n"
  .. "  STEPS  of each run; default: 1000, about 4 minutes on 2 quiet cores\n"

if arg[1] == "--help" or arg[1] == "-h" then
  io.write(USAGE)
  quit(0)
end
local STEPS = math.tointeger(tonumber(arg[1] or 1000))
if not STEPS or STEPS < 8 then
  io.stderr:write(USAGE)
  quit(2)
end

-- d, b, r and kept are globals: in the workbench they are there to be looked at and changed.
d = data.synthetic{domains = 8, tokens = 2e6, seed = 1}

local SHAPE = {layers = 2, dim = 64, heads = 4, context = 64, experts = 8, top_k = 1,
               expert_dim = 64, vocab = d.vocab}
local BATCH = 32

-- ---- 1. the rules, at equal tokens ----

local RULES = {
  {"none", "softmax", {aux = 0}}, {"aux", "softmax", {aux = 0.01}},
  {"bias", "sigmoid", {aux = 0, gamma = 1e-3}}, {"quantile", "quantile"},
}

local entrants = {}
for _, rule in ipairs(RULES) do
  for _, places in ipairs {"1.25", "dropless"} do
    entrants[#entrants + 1] = {
      label = rule[1] .. "-" .. places, router = rule[2], balance = rule[3],
      capacity = places == "1.25" and {train = 1.25, eval = 2} or nil,
    }
  end
end

b = bakeoff{name = ("balance-%d"):format(STEPS), routers = entrants, data = d, model = SHAPE,
            train = {batch = BATCH, lr = 5e-3}, seeds = 2, baselines = false, controls = false,
            budget = {tokens = STEPS * BATCH * SHAPE.context}, points = 10, eval_batches = 5}
print(b:table())
print(("entropy of the text: %.3f nats a token"):format(d.entropy))
print(b:save("balance.md", "balance.svg"))

-- ---- 2. live ----

local OFF, ON = STEPS // 4, STEPS // 2

local function balanced_model()
  local o = {router = "softmax", balance = {aux = 0.01}}
  for k, v in pairs(SHAPE) do o[k] = v end
  return model.moe(o)
end

local function say(text, ...) print(("\n" .. text):format(...)) end

-- Loads of the newest steps, the mean of a layer: "0.2 1.9 ..."; and which experts starve.
local function loads(run, layer)
  local h = run:history("load." .. layer)
  local n = math.min(20, h.shape[1])
  local mean = h:narrow(1, h.shape[1] - n + 1, n):mean(1):narrow(1, 2, SHAPE.experts):table()
  local parts, starved = {}, {}
  for e, load in ipairs(mean) do
    parts[e] = ("%.2f"):format(load)
    if load < 0.1 then starved[#starved + 1] = e end
  end
  return table.concat(parts, " "), starved
end

local function show(run)
  for layer = 1, SHAPE.layers do
    print(("  layer %d, of a fair share: %s"):format(layer, (loads(run, layer))))
  end
end

r = train(balanced_model(), d, {steps = STEPS, batch = BATCH, lr = 5e-3,
  schedule = "constant", eval_every = math.max(1, STEPS // 40), eval_batches = 5, paused = true,
  name = ("live-%d"):format(STEPS) .. os.date "-%d%H%M%S"})

r:steps(OFF):wait()
say("step %d, with the balance loss: loss %.3f", r.step, r.loss)
show(r)

r.aux = 0 -- from the next step; journaled, and a mark on the charts
r:steps(ON - OFF):wait()
say("step %d, the balance loss off since step %d: loss %.3f", r.step, OFF, r.loss)
show(r)

r.aux = 0.01
local reset = 0
for layer = 1, SHAPE.layers do
  local _, starved = loads(r, layer)
  for _, e in ipairs(starved) do
    r.layers[layer].experts[e]:reset()
    reset = reset + 1
  end
end
r:steps(STEPS - ON):wait()
say("step %d, on again since step %d with %d experts drawn anew: loss %.3f", r.step, ON, reset,
  r.loss)
show(r)

kept = r:fork{step = OFF, name = r.name .. "-kept"}
kept:wait()
say("the fork from step %d, where it never was off: loss %.3f", OFF, kept.loss)
show(kept)

local lines = {}
for i, run in ipairs {r, kept} do
  lines[i] = {label = i == 1 and "off, on again" or "never off",
              points = run:history "val_loss":table()}
end
local picture = require("switchyard.lab.svg").charts{title = "The balance loss off and on again",
  panels = {{x = "step", y = "validation loss, nats a token", lines = lines}}, width = 560}
assert(io.open("balance-live.svg", "w")):write(picture):close()

local mine, its = r:history "val_loss", kept:history "val_loss"
say("validation loss at the end: %.4f, and %.4f of the fork; both curves: balance-live.svg",
  mine[mine.shape[1]][2]:item(), its[its.shape[1]][2]:item())

r:rewind(OFF)
say("taken back to step %d: what came after has left its timeline", r.step)
r:close()
kept:close()
