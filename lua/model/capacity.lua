-- How many places an expert has, and which tokens get them: capacity = a number, or a table of the
-- rows below.  N tokens of a group, K choices a token, E experts.
--
--  1. An expert has ceil(factor * N*K/E) places of each group, at least `least`, and of whole
--     multiples of `multiple` (Lingvo's GShard: of 4) the next.  Papers
--     that count N/E a factor (mesh-TensorFlow, flaxformer, Lingvo) have capacity.per_choice(c, K).
--  2. In training a group is `group` tokens, or those of the micro-batch.  In evaluation it is a
--     sequence: what a text gives does not depend on those beside it.  Generation drops nothing.
--  3. Shares of the balance losses are before any drop; dropped tokens' output is 0.
--  4. A number stands for {train = number}, and that is what r.capacity sets and shows; what else
--     the router's own capacity has stays.  Alone it is of models of before there were tables,
--     whose places are what they were: one more where rounding makes the product a little more
--     than it is (1.1 * 100 / 10).

local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"

local capacity = {}

local ROUNDS = 4 -- of reroute: Fedus et al. 2021, as mesh-TensorFlow has it
local DROPS = {"position", "probability", "random", "reroute"}

local ROWS = {
  {"train", "number", nil, 0.01, 1e6}, {"eval", "number", nil, 0.01, 1e6},
  {"drop", "string", "position", choices = DROPS}, {"group", "integer", nil, 1, 1 << 30},
  {"least", "integer", nil, 1, 1 << 30},
  {"multiple", "integer", nil, 1, 1 << 20}, {"allow_leak", "boolean", false},
}

--- The option's help.
capacity.HELP = "slots of an expert in training as a factor of N*K/E, or {train=, eval=, drop=, "
  .. "group=, least=, multiple=}: see ?nn.moe; default: the router's, or dropless"

local function fail(what, ...) error(what .. ": capacity: " .. string.format(...), 0) end

--- A factor of N/E as one of N*K/E.
function capacity.per_choice(c, K) return c / K end

local function check_effects(what, o, given)
  if not o.train and not o.eval then
    for _, name in ipairs {"drop", "group", "least", "multiple", "allow_leak"} do
      if given[name] ~= nil then fail(what, "%s has no effect without train or eval", name) end
    end
    fail(what, "neither train nor eval is given; without a capacity it is nil")
  end
  if o.group and not o.train then
    fail(what, "group = %d has no effect without train: in evaluation a sequence is a group",
      o.group)
  end
  if o.allow_leak and o.drop == "position" then
    fail(what, "allow_leak has no effect with drop = 'position'")
  end
end

--- The fields of a capacity, defaults and all; raises where it is none.  nil, false: nil.
function capacity.read(what, given)
  if given == nil or given == false then return nil end
  if type(given) ~= "table" then
    return options.read(what, {train = options.check(what, "capacity", given,
      {"capacity", "number", nil, 0.01, 1e6})}, ROWS)
  end
  local o = options.read(what .. ": capacity", given, ROWS)
  check_effects(what, o, given)
  return o
end

--- "capacity=1.25", or "capacity={train=1.25 eval=2 least=4}".  equals: what is between, "=".
function capacity.text(given, equals)
  local name = "capacity" .. (equals or "=")
  if type(given) ~= "table" then return name .. options.number(given) end
  local parts = {}
  for _, row in ipairs(ROWS) do
    local v = given[row[1]]
    if v ~= nil and v ~= row[3] then
      parts[#parts + 1] = row[1] .. "=" .. (type(v) == "number" and options.number(v)
        or tostring(v))
    end
  end
  return name .. "{" .. table.concat(parts, " ") .. "}"
end

--- x, a product of which rounding may have made a little more than it is, as whole places.
function capacity.up(x) return math.ceil(x * (1 - 1e-12)) end

-- ---- while it runs ----

--- What r.capacity shows of it.
function capacity.shown(given)
  if type(given) == "table" then return given.train end
  return given or nil
end

--- What it is once r.capacity was set to v; the table given stays as it is.
function capacity.after(given, v)
  if type(given) ~= "table" then return v end
  local out = {}
  for name, x in pairs(given) do out[name] = x end
  out.train = v
  if v == nil and not out.eval then return nil end
  if v == nil then out.group = nil end
  return out
end

--- What a model's capacity is of which a number may be given, beside its router's own.
function capacity.of_number(own, given)
  if type(given) ~= "number" or type(own) ~= "table" then return given end
  return capacity.after(own, given)
end

--- Are two the same?
function capacity.same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for _, row in ipairs(ROWS) do
    if a[row[1]] ~= b[row[1]] then return false end
  end
  return true
end

-- ---- in a layer ----

local function slots_of(o, up, factor, n, K, E)
  local slots, multiple = math.max(o.least or 1, up(factor * n * K / E)), o.multiple or 1
  return (slots + multiple - 1) // multiple * multiple
end

local function train_group(o, ctx)
  local n = o.group or ctx.N
  if ctx.N % n == 0 then return n end
  error(("moe: capacity: group is %d; it must divide the %d tokens of a micro-batch (%d x %d)")
    :format(n, ctx.N, ctx.B, ctx.T), 0)
end

--- How many groups of tokens are apart in training.
function capacity.groups(given, ctx)
  local o = ctx.mode == "train" and capacity.read("moe", given)
  return o and o.train and ctx.N // train_group(o, ctx) or 1
end

--- What holds of a layer now: {slots=, group=, plain=, drop=}, or nil: nothing is dropped.  plain:
-- moe_dispatch does it.
function capacity.now(given, ctx)
  local o = capacity.read("moe", given)
  local factor = o and (ctx.mode == "train" and o.train or ctx.mode == "eval" and o.eval)
  if not factor then return nil end
  local group = ctx.mode == "train" and train_group(o, ctx) or ctx.T
  local up = type(given) == "number" and math.ceil or capacity.up
  return {
    slots = slots_of(o, up, factor, group, ctx.K, ctx.E), group = group, drop = o.drop,
    plain = o.drop == "position" and group == ctx.N and not o.least,
  }
end

-- Why a token's place tells of later ones.
local LEAKS = {
  probability = "serves the most certain tokens first",
  random = "serves the tokens by lot",
  reroute = "sends a token without a place where the others have left one",
}

--- Raise where what is dropped shows a token of later ones; said once, where it is so of second
-- choices alone.
function capacity.check_leak(given, mode, causal, K)
  local o = capacity.read("moe", given)
  if not o or not o.train or mode ~= "train" or not causal or o.allow_leak then return end
  if LEAKS[o.drop] then
    error(("train: capacity: drop = '%s' %s, so whether a token has its expert tells of later "
      .. "tokens: it cannot train for the next token; capacity = {..., allow_leak = true} does it "
      .. "all the same"):format(o.drop, LEAKS[o.drop]), 0)
  end
  if K > 1 then
    nn.remark(("capacity: first choices have places before second ones, so with top_k = %d "
      .. "whether a token has its second expert tells of later tokens, as it does in the papers")
      :format(K))
  end
end

local function wrong(ctx, drop, wants, has)
  error(("moe: capacity: drop = '%s' %s, and router '%s' %s"):format(drop, wants, ctx._router.name,
    has), 0)
end

--- Raise if a drop rule cannot go by what a router gives.
function capacity.check_form(given, ctx, r)
  local o = capacity.read("moe", given)
  local drop = o and o.drop
  if drop == "reroute" then
    if not r.scores then wrong(ctx, drop, "goes by scores", "gives none") end
    if r.chosen then
      wrong(ctx, drop, "is of K experts a token", "says of each expert whether it is chosen")
    end
  elseif drop == "probability" and not r.scores and not ctx._raw then
    wrong(ctx, drop, "serves the largest gate first", "gives all the same")
  end
end

-- Scores by which a choice goes on; -inf of a disabled expert.
local function open_scores(ctx, r) return r.scores + ctx:mask() end

local function priority(ctx, r, drop)
  if drop == "random" then return tensor.rand(ctx.N) end
  if drop == "probability" then return (r.scores or r.taken_gates):max(-1) end
end

-- The gate of a choice that went to another expert has that one's score in place of its own.
local function follow(r, kept)
  local function score(experts) return r.scores:gather(-1, experts:maximum(1)) end
  local moved = kept:gt(0):where(kept:ne(r.experts):cast("f32"), 0.0):gt(0)
  local gates = r.gates * (score(kept) / score(r.experts):maximum(1e-20))
  return moved:where(gates, r.gates), moved
end

--- The experts (N,M) that take the choices of r, 0: none; their gates; of reroute, (N,M) bool of
-- those that went to another expert.  now: of capacity.now
function capacity.admit(now, ctx, r)
  local reroute = now.drop == "reroute"
  local kept = r.experts:moe_admit({
    priority = priority(ctx, r, now.drop), scores = reroute and open_scores(ctx, r) or nil,
    experts = ctx.E, capacity = now.slots, groups = ctx.N // now.group,
    rounds = reroute and ROUNDS or 0,
  })
  if not reroute then return kept, r.gates end
  local gates, moved = follow(r, kept)
  return kept, gates, moved
end

return capacity
