-- What a linter sees of a run: its reported losses, what its optimizer keeps, its series.  Checks
-- of lua/lab/lint.lua.

local states = require "switchyard.lab.lint_states"

local run = {}

local SAME = 1e-4      -- relative difference of a loss that is computed twice, in fp32
local BF16 = 2e-2      -- the same where products are of bf16
local LEARNED = 20     -- steps after which an optimizer keeps something of all that learns
local ROWS = 48        -- of a series of loads that are looked at
local SWING = -0.5     -- correlation of a load with that of the step before
local WIDE = 0.25      -- deviation of a load, of a fair share, that is no noise

-- ---- the reported loss ----

-- Cross entropy in double of what was evaluated.
local function by_hand(s)
  local logits, targets = s.logits:detach():cast "f64", states.flat(s.fields.targets)
  local lse, sum, n = states.flat(logits:logsumexp(-1)), 0, 0
  local V, values = s.logits.shape[2], states.flat(logits)
  for t, id in ipairs(targets) do
    if id >= 0 then sum, n = sum + lse[t] - values[(t - 1) * V + id + 1], n + 1 end
  end
  return sum / math.max(1, n), n
end

local function told(found, what, reported, real, n)
  found(nil, "%s is %.6f; of the logits the cross entropy of its %d targets, in double, is %.6f: "
    .. "%+.3g", what, reported, n, real, reported - real)
end

-- What the run's own program says, beside what the model's does.
local function of_the_run(look, found, left)
  local h, m, d = look.run._h, look.run._m, look.data
  local good, reported, own = pcall(m._quietly, m, function()
    return h:eval(1), m:loss(d, {batches = 1, context = h:get "context"})
  end)
  if not good then return left("%s", (tostring(reported):gsub("\n.*", ""))) end
  local near = look.precision == "bf16" and BF16 or SAME
  if math.abs(reported - own) <= near * math.max(1, math.abs(own)) then return end
  found(nil, "r:eval(1) is %.6f, and the model's loss on the same windows %.6f: %+.3g of something "
    .. "else", reported, own, reported - own)
end

--- validation_loss
function run.validation(look, found, left)
  local s, why = look:valued()
  if not s then return left("%s", why) end
  if s.fields.weights then return left("targets are weighed") end
  local real, n = by_hand(s)
  local reported = s.loss:item()
  if math.abs(reported - real) > SAME * math.max(1, real) then
    return told(found, "the evaluation's loss", reported, real, n)
  end
  if look.run and look.data then of_the_run(look, found, left) end
end

-- ---- what the optimizer keeps ----

-- Experts of which nothing is kept although they have tokens; all: some are kept.
local function lost_of(kept, x, tokens)
  local lost, any = {}, false
  for e = 1, x.E do
    any = any or kept[e] > 0
    if kept[e] == 0 and tokens[e] > 0 then lost[#lost + 1] = e end
  end
  return any and lost or {}
end

--- moments_lost
function run.moments(look, found, left)
  if not look.kept_of then return left("a model alone has no optimizer") end
  if look.steps < LEARNED then return left("%d steps are learned from, too few", look.steps) end
  local s, why = look:train()
  states.each(s, why, left, function(x) return #x.of_experts > 0 end, function(x)
    local tokens = states.counts(x, tensor(states.placed(x), {dtype = "i32"}))
    for _, p in ipairs(x.of_experts) do
      local kept = look.kept_of(p.name, x.E)
      local lost = kept and not p.frozen and lost_of(kept, x, tokens) or {}
      if #lost > 0 then
        return found(x, "after %d steps the optimizer keeps exactly 0 of experts %s of %s, which "
          .. "have %d of the batch's tokens, and up to %.2g of others", look.steps,
          table.concat(lost, ", "), p.name, tokens[lost[1]], math.max(table.unpack(kept)))
      end
    end
  end)
end

-- ---- loads over time ----

-- Mean, deviation and correlation with the row before, of column e.
local function movement(rows, e)
  local n, mean = #rows, 0
  for _, row in ipairs(rows) do mean = mean + row[e] / n end
  local var, cov = 0, 0
  for i, row in ipairs(rows) do
    var = var + (row[e] - mean) ^ 2
    cov = cov + (i > 1 and (row[e] - mean) * (rows[i - 1][e] - mean) or 0)
  end
  return mean, math.sqrt(var / n), var > 0 and cov / var or 0
end

--- loads_swing
function run.swing(look, found, left)
  if not look.series then return left("a model alone has no series") end
  local enough = false
  for _, place in ipairs(look.places) do
    local rows = look.series("load." .. place.name, ROWS)
    if rows and #rows >= ROWS then
      enough = true
      local worst, at, wide = 0, 1, 0
      for e = 2, #rows[1] do
        local _, deviation, along = movement(rows, e)
        if deviation > WIDE and along < worst then worst, at, wide = along, e - 1, deviation end
      end
      if worst < SWING then
        found({layer = place.layer, label = place.label}, "over %d steps the load of expert %d "
          .. "deviates by %.2f of a fair share, to the other side at every step (correlation with "
          .. "the step before %.2f)", ROWS, at, wide, worst)
      end
    end
  end
  if not enough then left("fewer than %d steps have loads", ROWS) end
end

--- Of the last rows of a series of loads: experts that had under 1% of a fair share in all of them.
function run.dead_of(look, place)
  local rows = look.series and look.series("load." .. place, ROWS)
  if not rows or #rows < ROWS then return nil end
  local dead = {}
  for e = 2, #rows[1] do
    local most = 0
    for _, row in ipairs(rows) do most = math.max(most, row[e]) end
    if most < 0.01 then dead[#dead + 1] = e - 1 end
  end
  return dead, #rows
end

return run
