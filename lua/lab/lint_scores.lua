-- What a linter sees of a router's logits, scores and choices.  Checks of lua/lab/lint.lua.

local engine = require "switchyard.engine"
local states = require "switchyard.lab.lint_states"

local scores = {}

local TRAINED = 20   -- steps after which a router is expected to differ from none
local SUMS = 1e-3    -- how far from 1 scores may sum to
local DISTINCT = 8   -- values of which it is no accident that bf16 can be all of them
local E1 = math.exp(1)

local function has_scores(x) return x.scores ~= nil and x.leaf ~= nil and x.E > 1 end
local function has_logits(x) return x.logits ~= nil and x.leaf ~= nil end

local function close(a, b) return math.abs(a - b) < 1e-3 end

-- Mean share of the favoured expert in scores (N,E) or gates (N,M), of the tokens that have it.
local function favoured_score(x)
  local list, sum = states.flat(x.scores), 0
  for n = 1, x.N do sum = sum + list[(n - 1) * x.E + (n - 1) % x.E + 1] end
  return sum / x.N
end

local function favoured_gate(x)
  local gates, experts = states.flat(x.gates), states.flat(x.experts)
  local M, sum, count = #gates // x.N, 0, 0
  if M < 2 or M > x.K then return nil end
  for n = 1, x.N do
    local mine, all, others = nil, 0, 0
    for k = (n - 1) * M + 1, n * M do
      all = all + gates[k]
      if experts[k] == (n - 1) % x.E + 1 then mine = gates[k]
      elseif experts[k] > 0 then others = others + 1 end
    end
    if mine and others == x.K - 1 and all > 0 then sum, count = sum + mine / all, count + 1 end
  end
  return count > 0 and sum / count or nil
end

--- scores_twice
function scores.twice(look, found, left)
  local s, why = look:train(states.favoured)
  states.each(s, why, left, function(x) return x.leaf and x.E > 1 end, function(x)
    local p, g = x.scores and favoured_score(x), favoured_gate(x)
    local bound = E1 / (E1 + x.E - 1)
    if p and close(p, bound) then
      found(x, "an expert whose logit is 60 over all others has the score %.4f; a softmax of a "
        .. "softmax over %d gives %.4f, one softmax 1", p, x.E, bound)
    elseif g and close(g, E1 / (E1 + x.K - 1)) then
      found(x, "of a token's %d gates that of an expert whose logit is 60 over all others is %.4f "
        .. "of the sum; a softmax over probabilities gives %.4f, one softmax 1", x.K, g,
        E1 / (E1 + x.K - 1))
    end
  end)
end

-- Mean sum of the scores of tokens that have an expert, or nil.
local function mean_sum(x)
  local list, experts, M = states.flat(x.scores), states.flat(x.experts), nil
  M = #experts // x.N
  local sum, count = 0, 0
  for n = 1, x.N do
    local has = false
    for k = (n - 1) * M + 1, n * M do has = has or experts[k] > 0 end
    if has then
      count = count + 1
      for e = (n - 1) * x.E + 1, n * x.E do sum = sum + list[e] end
    end
  end
  return count > 0 and sum / count or nil
end

--- scores_shrink
function scores.shrink(look, found, left)
  local s, why = look:train()
  local now = {}
  states.each(s, why, left, has_scores, function(x, i) now[i] = mean_sum(x) or 1 end)
  if not s then return end
  look:train(states.lowered)
  states.each(s, why, left, has_scores, function(x, i)
    local low = mean_sum(x) or 1
    if math.abs(now[i] - 1) <= SUMS and low > 0.9 then return end
    found(x, "a token's scores sum to %.4g in the mean, and to %.4g when all logits are lowered by "
      .. "25; both must be 1", now[i], low)
  end)
end

--- uniform
function scores.uniform(look, found, left)
  if look.steps < TRAINED then
    return left("%d steps are learned from, too few", look.steps)
  end
  local s, why = look:eval()
  states.each(s, why, left, has_logits, function(x)
    local list, most = states.flat(x.logits), 0
    for n = 1, x.N do
      local least, top = math.huge, -math.huge
      for e = (n - 1) * x.W + 1, n * x.W do
        least, top = math.min(least, list[e]), math.max(top, list[e])
      end
      most = math.max(most, top - least)
    end
    if most > 1e-6 then return end
    found(x, "after %d steps the logits of a token differ by %.2g at most over %d tokens: entropy "
      .. "ln %d, margin 0", look.steps, most, x.N, x.E)
  end)
end

-- Rows of `now` that are those of `before` to the bit, as a share of those that are not decided.
local function unmoved(before, now, columns)
  local same, all = 0, 0
  for i = 1, #before, columns do
    local most, equal = 0, true
    for k = i, i + columns - 1 do
      most, equal = math.max(most, before[k]), equal and before[k] == now[k]
    end
    if most < 0.99 then all, same = all + 1, same + (equal and 1 or 0) end
  end
  return all >= DISTINCT and same / all or 0
end

--- router_coarse
function scores.coarse(look, found, left)
  local s, why = look:train()
  local before = {}
  states.each(s, why, left, has_logits, function(x, i)
    before[i] = states.flat(x.scores or x.gates)
    local n = states.coarse(x.logits)
    if not n or n <= DISTINCT then return end
    before[i] = nil
    found(x, "all %d logits are numbers that bf16 has (%d different ones; of f32 one in 65,536 "
      .. "would be)", x.logits.size, n)
  end)
  if not s then return end
  look:train(states.slight)
  states.each(s, why, left, has_logits, function(x, i)
    local now = before[i] and states.flat(x.scores or x.gates)
    local share = now and unmoved(before[i], now, #now // x.N) or 0
    if share < 0.5 or not x.scores and (x.K == 1 or x.varies) then return end
    found(x, "of %.0f%% of the tokens that are not decided all %s are the same to the bit when "
      .. "logits move by 2e-5: they are rounded to fewer bits than f32 has", 100 * share,
      x.scores and "scores" or "gates")
  end)
end

--- experts_by_lot
function scores.by_lot(look, found, left)
  local s, why = look:eval {seed = 1}
  local before = {}
  states.each(s, why, left, has_logits, function(x, i) before[i] = states.flat(x.experts) end)
  if not s then return end
  look:eval {seed = 2}
  states.each(s, why, left, has_logits, function(x, i)
    local share = states.changed(before[i], states.flat(x.experts), #before[i] // x.N)
    if share == 0 then return end
    found(x, "two evaluations of the same %d tokens send %.1f%% of them to other experts", x.N,
      100 * share)
  end)
end

-- ---- later tokens ----

local function is_causal(x) return x.side ~= "input" end

-- The last token of each row becomes another.
local function change_last(s, V)
  local ids, T = states.flat(s.fields.tokens), s.o.length
  for i = T, #ids, T do ids[i] = (ids[i] + 1 + V // 2) % V end
  engine.put(s.fields.tokens, ids)
end

local function row_text(x, i, M) return (i - 1) // M % x.T + 1 end

-- Earlier tokens whose experts or gates are others: how many, and the first's place.
local function earlier(x, was)
  local experts, gates, n, first = states.flat(x.experts), states.flat(x.gates), 0, nil
  local M = #experts // x.N
  for i = 1, #experts do
    local off = experts[i] ~= was.experts[i]
      or math.abs(gates[i] - was.gates[i]) > 1e-5 * math.max(1, math.abs(gates[i]))
    if off and row_text(x, i, M) < x.T then n, first = n + 1, first or row_text(x, i, M) end
  end
  return n, first
end

--- sees_future
function scores.future(look, found, left)
  local s, why = look:written()
  if not s then return left("%s", why) end
  local before = {}
  for i, x in ipairs(s.mixtures) do
    before[i] = {experts = states.flat(x.experts), gates = states.flat(x.gates)}
  end
  look:changing({s.fields.tokens}, function()
    change_last(s, look.m.cfg.vocab)
    look:written()
  end)
  states.each(s, why, left, is_causal, function(x, i)
    local n, first = earlier(x, before[i])
    if n == 0 then return end
    found(x, "another last token of a row of %d changes %d choices of tokens before it, first that "
      .. "of token %d", x.T, n, first)
  end)
end

return scores
