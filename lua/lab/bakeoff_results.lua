-- What the runs of a bake-off came to, read from their stores: a record a run, a row an entrant,
-- and how much less of the budget an entrant needed for the losses of the dense model of equal
-- active parameters.
--
--  1. The loss is that of the validation part, without any auxiliary loss.  A curve is a run's
--     evaluations; an entrant's is the mean of its seeds' at the evaluations that all have.
--  2. A loss is reached where the straight lines between an entrant's evaluations first come down
--     to it; before the first evaluation nothing is known: an entrant that is below it there has
--     reached it by then or earlier, and its ratio is at least what is given (`least`).  Three
--     losses are looked at: the baseline's at a half, three quarters and the end of its curve.
--  3. Balance is of the last tenth of a run's steps, the mean over its layers with experts:
--     max/mean of each step's loads; MaxVio, (max - mean) / mean of the loads of all these steps;
--     the share that was dropped; experts under 1% of a fair share, of all layers together.

local enum = require "switchyard.core.enum"
local runs = require "switchyard.lab.bakeoff_run"
local results = {}

local DEAD = 0.01
local NAN = 0 / 0
results.BASE = "dense-active"
local SHARES = {0.5, 0.75, 1}

-- ---- a run ----

-- Sums of the time of steps, by step.
local function clock(store)
  local at, all = {}, 0
  local parts = {}
  for i, name in ipairs {"time.data", "time.compute", "time.optimizer"} do
    parts[i] = store:history(name):table()
  end
  for i, row in ipairs(parts[1]) do
    all = all + row[2] + parts[2][i][2] + parts[3][i][2]
    at[math.tointeger(row[1])] = all
  end
  return at, all
end

-- Up to the first loss that is not finite.
local function curve_of(store, series, at, step_tokens, flops)
  local curve = {}
  for i, row in ipairs(series.val_loss and store:history "val_loss":table() or {}) do
    if not (math.abs(row[2]) < math.huge) then break end
    local step = math.tointeger(row[1])
    local tokens = step * step_tokens
    curve[i] = {step = step, loss = row[2], tokens = tokens, flops = tokens * flops,
                seconds = at[step]}
  end
  return curve
end

-- Rows of a series behind a step; values only.
local function behind(store, name, step)
  local list = {}
  for _, row in ipairs(store:history(name):table()) do
    if row[1] > step then list[#list + 1] = table.move(row, 2, #row, 1, {}) end
  end
  return list
end

-- max/mean of the steps, MaxVio of all, dead experts: of the loads of a layer.
local function judge(loads)
  local E, sums, most = #loads[1], {}, 0
  for _, row in ipairs(loads) do
    local sum = 0
    for e = 1, E do
      sums[e] = (sums[e] or 0) + row[e]
      sum = sum + row[e]
    end
    most = most + (sum > 0 and math.max(table.unpack(row)) * E / sum or 1)
  end
  local all, dead = 0, 0
  for e = 1, E do all = all + sums[e] end
  for e = 1, E do dead = dead + (sums[e] <= DEAD * all / E and 1 or 0) end
  return most / #loads, all > 0 and math.max(table.unpack(sums)) * E / all - 1 or 0, dead
end

local function balance_of(store, series, steps)
  local from, layers, out = steps - math.max(1, steps // 10), 0, {max_mean = 0, max_vio = 0,
                                                                  dead = 0, drop = 0}
  for name, what in pairs(series) do
    if what.kind == enum.series.LOAD then
      local loads = behind(store, name, from)
      if #loads > 0 then
        local most, vio, dead = judge(loads)
        layers = layers + 1
        out.max_mean, out.max_vio = out.max_mean + most, out.max_vio + vio
        out.dead = out.dead + dead
      end
    elseif what.kind == enum.series.DROP then
      local rows, sum = behind(store, name, from), 0
      for _, row in ipairs(rows) do sum = sum + row[1] end
      out.drop = out.drop + (#rows > 0 and sum / #rows or 0)
    end
  end
  if layers == 0 then return {} end -- a dense model
  for _, name in ipairs {"max_mean", "max_vio", "drop"} do out[name] = out[name] / layers end
  return out
end

--- The record of a run that is over: {label=, seed=, state=, steps=, tokens=, flops=, seconds=,
-- loss=, tok_s=, curve=, changes=, max_mean= ...}.
function results.run(s, e, seed, store)
  local info, series = assert(store:info()), store:series()
  local at, seconds = clock(store)
  local r = balance_of(store, series, info.step)
  r.curve = curve_of(store, series, at, s.step_tokens, e.flops)
  local last = r.curve[#r.curve]
  r.loss = last and last.step == info.step and info.state ~= enum.state.FAILED and last.loss or NAN
  r.label, r.seed, r.state, r.steps = e.label, seed, info.state, info.step
  r.tokens = info.step * s.step_tokens
  r.flops, r.seconds, r.tok_s = r.tokens * e.flops, seconds, r.tokens / seconds
  r.changes = runs.changes(s, store)
  return r
end

-- ---- an entrant ----

local function mean_of(list, name)
  local sum, n = 0, 0
  for _, r in ipairs(list) do
    local v = r[name]
    if v and v == v then sum, n = sum + v, n + 1 end
  end
  if n > 0 then return sum / n, n end
end
results.mean_of = mean_of

-- The deviation of a sample; nil of one.
local function deviation_of(list, name)
  local mean, n = mean_of(list, name)
  if not mean or n < 2 then return nil end
  local sum = 0
  for _, r in ipairs(list) do
    if r[name] == r[name] then sum = sum + (r[name] - mean) ^ 2 end
  end
  return math.sqrt(sum / (n - 1))
end

-- The mean curve of runs, and the least and the greatest loss at each point.
local function mean_curve(list)
  local curve = {}
  local n = #list > 0 and math.huge or 0
  for _, r in ipairs(list) do n = math.min(n, #r.curve) end
  for i = 1, n do
    local points, p = {}, {low = math.huge, high = -math.huge}
    for k, r in ipairs(list) do
      points[k] = r.curve[i]
      p.low, p.high = math.min(p.low, r.curve[i].loss), math.max(p.high, r.curve[i].loss)
    end
    for _, name in ipairs {"step", "tokens", "flops", "seconds", "loss"} do
      p[name] = mean_of(points, name)
    end
    curve[i] = p
  end
  return curve
end

--- What of `of` ("flops", "seconds", "tokens") a curve needs to come down to a loss, and whether
-- that is the most that it can be; nil: it does not come down to it.
function results.needed(curve, loss, of)
  for i, p in ipairs(curve) do
    if p.loss <= loss then
      local before = curve[i - 1]
      if not before then return p[of], p.loss < loss end
      local part = (before.loss - loss) / (before.loss - p.loss)
      return before[of] + part * (p[of] - before[of]), false
    end
  end
end

--- The losses at which entrants are compared: of the baseline's curve.
function results.levels(curve)
  local list = {}
  for i, share in ipairs(SHARES) do
    local at = #curve * share
    local k = math.max(1, math.ceil(at))
    list[i] = curve[k] and curve[k].loss -- of an empty one there are none
  end
  return list
end

--- Ratios of what the baseline needs for each loss to what a curve needs: {{loss=, flops=,
-- seconds=, least=}}; over 1: the curve's entrant is cheaper; without flops: not reached.
function results.ratios(base, curve, levels)
  local list = {}
  for i, loss in ipairs(levels) do
    list[i] = {loss = loss}
    for _, of in ipairs {"flops", "seconds"} do
      local mine, most = results.needed(curve, loss, of)
      local its = results.needed(base, loss, of)
      list[i][of], list[i].least = mine and its and its / mine, most or false
    end
  end
  return list
end

local MEANS = {"steps", "tokens", "flops", "seconds", "tok_s", "max_mean", "max_vio", "drop",
               "dead"}

local function row_of(e, list)
  local row = {entrant = e.label, kind = e.kind, seeds = #list, total = e.total, active = e.active,
               flops_per_token = e.flops, loss = mean_of(list, "loss"),
               deviation = deviation_of(list, "loss"), curve = mean_curve(list)}
  for _, r in ipairs(list) do
    if r.loss == r.loss then row.best = math.min(row.best or r.loss, r.loss) end
  end
  for _, name in ipairs(MEANS) do row[name] = mean_of(list, name) end
  return row
end

--- Rows of all entrants that have a run that is over, in their order, with ratios where the
-- baseline has a curve; and the losses of those.
function results.rows(entrants, records)
  local rows, base, levels = {}, nil, {}
  for _, e in ipairs(entrants) do
    local list = {}
    for _, r in ipairs(records) do
      if r.label == e.label then list[#list + 1] = r end
    end
    if #list > 0 then
      rows[#rows + 1] = row_of(e, list)
      if e.label == results.BASE then base = rows[#rows].curve end
    end
  end
  if base then levels = results.levels(base) end
  for _, row in ipairs(rows) do
    row.ratios = base and results.ratios(base, row.curve, levels) or {}
  end
  return rows, levels
end

return results
