-- What a bake-off is to compare: its options, the entrants with their models, and all of it as
-- plain values, from which its folder is known again.
--
--  1. An entrant is a router with the model's options, or with its own; both dense baselines and
--     the controls (hash, and a router whose weights are never learned) are added, each only once.
--  2. Of the model's options an entrant whose router has no use for one is made without it, which
--     is told (`left`); what an entrant says itself is refused as the model refuses it.
--  3. Controls have no balance losses: through the hidden states these would move what their router
--     cannot learn.
--  4. Equal specs are equal texts: whatever bears on a loss is in spec.plain, and nothing else.

local engine = require "switchyard.engine"
local json = require "switchyard.core.json"
local model = require "switchyard.model.model"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local routing = require "switchyard.model.routing"
local train = require "switchyard.run.train"
local spec = {}

local WHAT = "bakeoff"
local LABEL_MOST = 40

spec.rows = {
  {"routers", "table", nil, help = "the entrants: names, {name, option = value}, or {label =, "
    .. "router =, balance =, capacity =, ...} with options of the model of their own"},
  {"data", "any", nil, help = "the data set"},
  {"model", "table", {}, help = "options of model.moe that all entrants have"},
  {"train", "table", {}, help = "options of train that all have; schedule is wsd where it is not "
    .. "given"},
  {"budget", "table", nil, help = "what each may use: {flops = x}, {tokens = n} or {seconds = s} "
    .. "of its own training"},
  {"seeds", "integer", 3, 1, 1000, help = "each entrant is trained so often, from other first "
    .. "weights and with another order of the data"},
  {"baselines", "boolean", true, help = "dense models of equal active and of equal total "
    .. "parameters are added"},
  {"controls", "boolean", true, help = "hash and random, a frozen router, are added"},
  {"points", "integer", 20, 1, 100000, help = "evaluations of each"},
  {"eval_batches", "integer", 20, 1, 1000000000, help = "batches of an evaluation"},
  {"name", "string", nil, help = "of the folder in which its runs are; default: two words"},
}

local function fail(...) error(WHAT .. ": " .. string.format(...), 0) end

-- f(...), whose message gets ours before it.
local function within(who, f, ...)
  local ok, result = pcall(f, ...)
  if not ok then fail("%s%s", who, (tostring(result):gsub("^[^\n]-:%d+: ", ""))) end
  return result
end

local function merged(...)
  local out = {}
  for i = 1, select("#", ...) do
    for k, v in pairs((select(i, ...)) or {}) do out[k] = v end
  end
  return out
end

-- ---- the budget and the training ----

local KINDS = {"flops", "tokens", "seconds"}

local function read_budget(given)
  if given == nil then fail "budget is missing: {flops = x}, {tokens = n} or {seconds = s}" end
  local rows, said = {}, {}
  for i, kind in ipairs(KINDS) do
    rows[i] = {kind, "number", nil, 0}
    if given[kind] ~= nil then said[#said + 1] = kind end
  end
  options.read(WHAT .. ": budget", given, rows)
  if #said ~= 1 then
    fail("budget takes one of flops, tokens and seconds: it has %s",
      #said == 0 and "none" or table.concat(said, " and "))
  end
  return {kind = said[1], amount = given[said[1]]}
end

local FIXED = {steps = "the budget says how many", seed = "seeds says which",
               name = "runs are called as the entrants", save = "its runs are kept",
               paused = "it begins at once", eval_every = "points says how often",
               eval_batches = "it is an option beside train", teacher = "entrants have none"}

local function read_train(given, budget)
  for name in pairs(given) do
    if FIXED[name] then fail("train.%s has no effect: %s", tostring(name), FIXED[name]) end
  end
  local o = merged({schedule = "wsd"}, given)
  if budget.kind == "seconds" and o.schedule == "cosine" then
    fail "schedule = \"cosine\" has to know its last step, which a budget of seconds does not give"
  end
  return o
end

-- ---- entrants ----

local function check_label(label)
  local ok = type(label) == "string" and #label <= LABEL_MOST and label:find "^%w[%w._-]*$"
  if ok then return label end
  fail("the label '%s' cannot be the name of a folder: letters, digits and ._-, at most %d",
    engine.clean(tostring(label)), LABEL_MOST)
end

-- Is base's number of experts a token one that the router refuses, and has it one of its own?
local function prefers(router, base)
  if not base.top_k or not router.check or not (router.model or {}).top_k then return false end
  return routing.run(WHAT, router.check, base.experts or 8, base.top_k, {}) and true or false
end

-- The model's options as far as the router has use for them, and what was left out.
local function fitted(router, base, control)
  local o, left = merged(base), {}
  local function leave(name)
    if o[name] == nil then return end
    o[name] = nil
    left[#left + 1] = name
  end
  if prefers(router, base) then leave "top_k" end
  if router.capacity then leave "capacity" end
  for _, name in ipairs {"normalize", "scale"} do
    if not router.any and not routing.option(router, name) then leave(name) end
  end
  local balance = {}
  for name, v in pairs(base.balance or {}) do
    local has = not control and not router.frozen and routing.balance_row(router, name)
    if has then balance[name] = v elseif not control then left[#left + 1] = name end
  end
  if base.balance ~= nil then o.balance = balance end
  table.sort(left)
  return o, left
end

local CONTROLS = {hash = true, random = true}

-- "name", {name, option = value} or {label=, router=, ...} as {label=, router=, own=}.
local function read_entrant(given, i)
  if type(given) == "string" then return {label = given, router = given, own = {}} end
  if type(given) ~= "table" then
    fail("routers[%d] must be a name or a table, got %s", i, type(given))
  end
  if given.router == nil then
    local router = merged(given)
    router.label = nil
    return {label = given.label or routing.name_of(router), router = router, own = {}}
  end
  local own = merged(given)
  own.label, own.router = nil, nil
  return {label = given.label or routing.name_of(given.router), router = given.router, own = own}
end

local function make_router(e, base)
  local router = within("entrant '" .. tostring(e.label) .. "': ", routing.find, "router", e.router)
  check_label(e.label)
  local plain = type(e.router) == "string" and next(e.own) == nil
  e.kind = plain and CONTROLS[e.router] and "control" or "router"
  local o
  o, e.left = fitted(router, base, e.kind == "control")
  e.family, e.options = "moe", merged(o, e.own, {router = e.router})
  return e
end

-- The widths of feed-forward layers that a dense model needs to be like a mixture: for each token,
-- and in all.
local function widths(cfg)
  local F, dense = cfg.expert_dim, cfg.dense_layers
  local led = dense * (cfg.ffn_dim or F * cfg.top_k)
  local function mean(experts)
    return math.max(1, (led + (cfg.layers - dense) * experts * F + cfg.layers // 2) // cfg.layers)
  end
  return mean(cfg.top_k + cfg.shared_experts), mean(cfg.experts + cfg.shared_experts)
end

local function dense_options(base, ffn_dim)
  local o = {}
  for _, row in ipairs(model._family "dense".rows) do o[row[1]] = base[row[1]] end
  o.ffn_dim = ffn_dim
  return o
end

local function baselines(base, cfg)
  local active, total = widths(cfg)
  return {label = "dense-active", kind = "baseline", family = "dense", left = {},
          options = dense_options(base, active)},
    {label = "dense-total", kind = "baseline", family = "dense", left = {},
     options = dense_options(base, total)}
end

--- The model of an entrant, as it is before the first step.
function spec.model(e, seed)
  return within(("entrant '%s': "):format(e.label), model._Model.new, e.family,
    merged(e.options, {seed = seed}))
end

-- What its model is, beside what it was asked to be.
local function measure(e, context)
  local m = spec.model(e, 1)
  local c = m:count(context)
  e.total, e.active, e.flops, e.varies = c.total, c.active, c.flops_per_token, c.varies or false
  e.cfg = within(("entrant '%s': "):format(e.label), json.plain, m.cfg, "a bake-off", "model")
  e.cfg.seed, e.cfg.vocab_tokenizer = nil, nil
  e.defined = next(m._definitions) and m._definitions or nil
  return m
end

local function add(list, e)
  for _, other in ipairs(list) do
    if other.label == e.label then
      fail("two entrants are called '%s': give them labels: {label = \"a\", router = ...}", e.label)
    end
  end
  list[#list + 1] = e
end

-- The routers asked for, then what is added by itself.
local function entrants(o, base)
  local n = type(o.routers) == "table" and engine.length(WHAT, o.routers) or 0
  if n == 0 then fail "routers is empty: it takes a list of names, or of tables" end
  local asked, given = {}, {}
  for i = 1, n do
    local e = read_entrant(o.routers[i], i)
    asked[i], given[e.label] = e, true
  end
  for _, name in ipairs(o.controls and {"hash", "random"} or {}) do
    if not given[name] then asked[#asked + 1] = {label = name, router = name, own = {}} end
  end
  -- what is compared with the routers is like the first of them
  local first = make_router(asked[1], base)
  local cfg = measure(first, o.context).cfg
  local like = merged(base, {top_k = cfg.top_k})
  local list = {}
  if o.baselines then
    local active, total = baselines(base, cfg)
    add(list, active)
    add(list, total)
  end
  for _, e in ipairs(asked) do
    local control = type(e.router) == "string" and CONTROLS[e.router] and next(e.own) == nil
    add(list, make_router(e, control and like or base))
  end
  for _, e in ipairs(list) do measure(e, o.context) end
  return list
end

-- ---- steps ----

local function short(v) return ("%.3g"):format(v) end

--- How many steps a budget of FLOPs or tokens comes to for each; raises where one has none.  Of
-- seconds: by how long a step takes (e.each).
function spec.set_steps(s)
  local b, step = s.budget, s.step_tokens
  for _, e in ipairs(s.entrants) do
    local each = b.kind == "tokens" and step or b.kind == "flops" and step * e.flops or e.each
    local n = each and b.amount / each
    if n and n < 1 then
      local unit = b.kind == "flops" and "FLOPs" or b.kind
      local of = b.kind == "tokens" and ("%d tokens"):format(step)
        or b.kind == "flops" and ("%s FLOPs (%d tokens of %s)"):format(short(each), step,
          short(e.flops)) or ("%s s"):format(short(each))
      fail("a budget of %s %s is too small: a step of '%s' takes %s", short(b.amount), unit,
        e.label, of)
    end
    e.steps = n and math.floor(n)
  end
end

-- ---- all of it ----

local function check_data(d)
  if type(d) == "userdata" then return d end
  fail("data must be a dataset (see data.text), got %s%s", type(d), d == nil
    and "; d = assert(data.text(path)) says why a file cannot be read" or "")
end

local function plain_of(s, all)
  local list = {}
  for i, e in ipairs(s.entrants) do
    list[i] = {label = e.label, family = e.family, model = e.cfg, defined = e.defined}
  end
  return within("", json.plain, {
    exact = engine.exact, rules = engine.rules, entrants = list, seeds = s.seeds,
    budget = {[s.budget.kind] = s.budget.amount}, points = s.points,
    eval_batches = s.eval_batches,
    train = merged(s.train, {objective = s.train.objective and all.objective}),
    data = {hash = s.data.hash, tokens = s.data.tokens, vocab = s.data.vocab},
  }, "a bake-off", "spec")
end

--- What was given, checked: {name=, data=, entrants=, budget={kind=, amount=}, seeds=, points=,
-- eval_batches=, train=, step_tokens=, plain=, hash=}.  An entrant: {label=, kind=, family=,
-- options=, left=, total=, active=, flops= (a token), varies=, steps= (of a budget of seconds:
-- nil)}.
function spec.read(given)
  local o = options.read(WHAT, given, spec.rows)
  check_data(o.data)
  local budget = read_budget(o.budget)
  local base = merged({vocab = o.data.tokenizer or o.data.vocab}, o.model)
  for _, name in ipairs {"seed", "router"} do
    if base[name] ~= nil then
      fail("model.%s has no effect: %s says which", name, name == "seed" and "seeds" or "routers")
    end
  end
  local s = {name = o.name or train.fresh_name(), data = o.data, budget = budget, seeds = o.seeds,
             points = o.points, eval_batches = o.eval_batches, train = read_train(o.train, budget)}
  o.context = s.train.context
  s.entrants = entrants(o, base)
  local all = within("", train.read_options, spec.model(s.entrants[1], 1), merged(s.train))
  s.step_tokens = all.batch * all.context * all.accumulate
  for _, e in ipairs(s.entrants) do
    if all.context ~= e.cfg.context and not s.train.context then
      fail("entrant '%s' has a context of its own; train = {context = n} is for all", e.label)
    end
  end
  spec.set_steps(s)
  s.plain = plain_of(s, all)
  s.hash = engine.hash(json.text(s.plain))
  return s
end

return spec
