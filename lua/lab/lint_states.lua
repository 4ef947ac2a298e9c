-- What a linter does to the logits of a mixture, and how it reads what comes of it.  A nudge is a
-- function(x, n, e) -> number that is added to the logit of token n and choice e of mixture x.

local engine = require "switchyard.engine"

local states = {}

local HIGH, LOW = 20, -40 -- that far apart, a softmax is 0 and 1 to the last bit

--- Token n is all for one expert, and each expert has as many tokens.
function states.favoured(x, n, e) return e == (n - 1) % x.E + 1 and HIGH or LOW end

--- All tokens are for the first expert.
function states.skewed(_, _, e) return e == 1 and HIGH or LOW end

--- All tokens want the first expert more than they did.
function states.first(_, _, e) return e == 1 and 3 or 0 end

--- A little, up and down by turns: less than bf16 sees of a logit.
function states.slight(_, n, e) return ((n + e) % 2 == 0 and 1 or -1) * 2e-5 end

--- Three of four are.
function states.leaning(_, n, e) return e == (n % 4 == 0 and 2 or 1) and HIGH or LOW end

--- All logits are low.
function states.lowered() return -25 end

--- Uneven, of no order, another for each number i: logits some units apart.
local mixed = {}
function states.mixed(i)
  mixed[i] = mixed[i] or function(x, n, e)
    local a = math.sin(12.9898 * n + 78.233 * e + 37.719 * i + 9.17 * (x.layer or 0)) * 43758.5453
    return 2 * (a - math.floor(a)) + i * ((e + (x.layer or 0)) % 3) * 0.7
  end
  return mixed[i]
end

-- ---- reading ----

function states.flat(t) return t:detach():contiguous():view(-1):table() end

function states.finite(t)
  for _, v in ipairs(states.flat(t)) do
    if v ~= v or v == math.huge or v == -math.huge then return false, v end
  end
  return true
end

--- The largest |value|, 0 of nil.
function states.largest(t)
  local most = 0
  for _, v in ipairs(t and states.flat(t) or {}) do
    if v ~= v then return v end
    most = math.max(most, math.abs(v))
  end
  return most
end

--- Assignments of each expert: {n...}, their sum.
function states.counts(x, experts)
  local n, sum = {}, 0
  for e = 1, x.E do n[e] = 0 end
  for _, e in ipairs(states.flat(experts)) do
    if e >= 1 and e <= x.E then n[e], sum = n[e] + 1, sum + 1 end
  end
  return n, sum
end

--- Of all choices those that have a place: as experts, 0 of none.
function states.placed(x)
  local list, pos = states.flat(x.placed), x.pos and states.flat(x.pos)
  for i = 1, #list do
    if pos and pos[i] < 0 then list[i] = 0 end
  end
  return list
end

--- Are all values those that bf16 can be, and different ones?
function states.coarse(t)
  local list, seen, n = states.flat(t), {}, 0
  local rounded = states.flat(t:detach():cast "bf16":cast "f32")
  for i, v in ipairs(list) do
    if v ~= rounded[i] then return false end
    if not seen[v] then seen[v], n = true, n + 1 end
  end
  return n
end

--- The share of tokens whose first choice is another.
function states.changed(before, after, M)
  local other, all = 0, 0
  for i = 1, #before, M do
    all = all + 1
    local same = true
    for k = 0, M - 1 do same = same and before[i + k] == after[i + k] end
    other = other + (same and 0 or 1)
  end
  return other / math.max(1, all)
end

--- f() with the values of these tensors as they are afterwards as before, whatever happens.
function states.restoring(list, f)
  local kept = {}
  for i, t in ipairs(list) do kept[i] = engine.clone(t) end
  local back <close> = setmetatable({}, {__close = function()
    for i, t in ipairs(list) do engine.copy(t, kept[i]) end
  end})
  return f(kept)
end

--- Mixtures of a specimen that f is asked of; why, for left, where there is none.
function states.each(s, why, left, wants, f)
  if not s then return left("%s", why) end
  local any = false
  for i, x in ipairs(s.mixtures) do
    if wants(x) then
      any = true
      f(x, i)
    end
  end
  return any
end

return states
