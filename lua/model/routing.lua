-- Routers and balance rules: objects of one form, those of lua/routers/ and lua/balance/ and those
-- of users; their options; what goes with what.
--
--  1. A router is a table: name; rule (a line); doc; source; rows of its options; route(ctx)
--     (lua/model/mixture.lua).  And what it permits: gives, a text of what balance rules may ask of
--     it (logits, scores, bias, chance); balance, its own defaults of their coefficients; model,
--     its own defaults of the model's options; causal = false with leak, why not; frozen =
--     true: the weight of its logits is never learned; varies = true: a token may have any number
--     of experts, whose mean is to be seen (series experts_per_token); scoped = true: a loss of its
--     own goes by balance = {scope =}; of_mean, defaults of coefficients of a mean over the layers,
--     which is what of a sum they are divided by the number of layers with experts; capacity, a
--     text that says why it has none; paper, its paper's defaults in the paper's convention;
--     check(E, K, options), which returns what is wrong, or nil; reach(on, options), among how many
--     of the experts that are enabled (on, a list) a token chooses at the least; positional, which
--     of its options is meant by {name, value}; normalized: without an option normalize, do its
--     gates sum to 1; like(options), of one that stands for another, the one whose place it takes;
--     except, what tests/lua/identities.lua finds of every router and not of it (EXCEPT), and why
--     not.
--  2. A balance rule is a table: name, doc, source, rows, needs (one of what routers give),
--     of_weight (its loss moves the weight of the logits alone), and loss(ctx, routing) or
--     update(ctx, load) or both.  Its rows' names are the fields of balance=.  It is in force where
--     its first row has a value: a default, the router's, or what balance= says.  A default holds
--     for models of before as well, so a new rule has none: what stored runs compute must not
--     change.
--  3. A function in nn.routers (routers.lua), as before there were objects, is made one once, when
--     it is set: f(logits, K, options) -> gates, experts, scores, update.
--  4. An option that would do nothing is refused with the reason.

local capacity = require "switchyard.model.capacity"
local coefficient = require "switchyard.model.coefficient"
local definition = require "switchyard.core.definition"
local fields = require "switchyard.core.fields"
local lazy = require "switchyard.core.lazy"
local mixture = lazy "switchyard.model.mixture"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local router_table = lazy "switchyard.prompt.router_table"
local routers = require "switchyard.model.routers"
local words = require "switchyard.core.words"

local routing = {}
local Router = {__name = "router"}
function Router.__call(...) return mixture.call(...) end

local SPEC = {
  {"name", "string"}, {"rule", "string", ""}, {"doc", "string", ""}, {"source", "string", ""},
  {"paper", "string", ""}, {"rows", "table"}, {"gives", "string", "logits scores"},
  {"balance", "table"}, {"model", "table"}, {"causal", "boolean", true},
  {"leak", "string", "it sees later tokens"},
  {"capacity", "string"}, {"check", "function"}, {"except", "table"}, {"route", "function"},
  {"frozen", "boolean", false}, {"varies", "boolean"}, {"scoped", "boolean"},
  {"of_mean", "table"},
  {"positional", "string"}, {"like", "function"}, {"normalized", "boolean"},
  {"reach", "function"},
}
local EXCEPT = {
  one = "one expert alone is the dense layer", order = "experts in another order change nothing",
  ties = "of equal scores the lower expert is chosen",
  decode = "one token after another is the whole sequence",
  step = "the micro-batches of a step add up to one batch",
  alone = "it can be used by itself", gradient = "gradients are those of finite differences",
}
local RULE = {
  {"name", "string"}, {"doc", "string", ""}, {"source", "string", ""}, {"rows", "table"},
  {"needs", "string", "scores"}, {"of_weight", "boolean"}, {"loss", "function"},
  {"update", "function"},
}
local GIVEN = {"logits", "scores", "bias", "chance"}
-- options of models that a router has defaults of
local MODEL = {{"top_k", "integer", nil, 1, 64}, {"capacity", "any"},
               {"activation", "string"}, {"expert_bias", "boolean"}}

local function fail(what, ...) error(what .. ": " .. string.format(...), 0) end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function joined(...)
  local all = {}
  for _, list in ipairs {...} do table.move(list, 1, #list, #all + 1, all) end
  return all
end

local function row_of(rows, name)
  for _, row in ipairs(rows) do
    if row[1] == name then return row end
  end
end

-- ---- the two kinds ----

local function check_words(what, field, text)
  for word in text:gmatch "%S+" do
    local known = false
    for _, name in ipairs(GIVEN) do known = known or name == word end
    if not known then options.unknown(what, field, word, GIVEN) end
  end
end

local ROW_TYPES = {integer = true, number = true, boolean = true, string = true}

-- Rows are {name, type, default, least, most, help =, choices =, scheduled =}; taken: names that
-- are others'.
local function check_rows(what, rows, taken)
  local seen = {}
  for i, row in ipairs(rows) do
    if type(row) ~= "table" or type(row[1]) ~= "string" or not ROW_TYPES[row[2]] then
      fail(what, "rows[%d] must be {name, \"integer\", \"number\", \"boolean\" or \"string\", "
        .. "default, least, most, help = text}", i)
    end
    local name = row[1]
    words.check_name(what .. ": rows", name)
    if seen[name] or taken[name] then fail(what, "the option '%s' is there already", name) end
    seen[name] = true
    options.read(what .. ": rows", {[name] = row[3]}, {row})
  end
end

-- A function of before there were objects.
local function of_function(name, f)
  return {
    name = name, rule = "a function", doc = "A router of one's own.", source = "", paper = "",
    rows = {}, gives = "logits scores bias", any = true, causal = true,
    definition = definition.of {route = f},
    route = function(ctx)
      local gates, experts, scores, update = f(ctx:logits(), ctx.K, ctx._given)
      return {gates = gates, experts = experts, scores = scores, update = update}
    end,
  }
end

--- The option of routers whose gates nn.normalize_gates makes sum to 1.
routing.NORMALIZE = {"normalize", "boolean", true,
                     help = "the K gates of a token sum to 1; a single one (top_k = 1) is its "
                       .. "score"}

--- The option of routers that balance in training: by which rule they are evaluated.
routing.BALANCED_EVAL = {"balanced_eval", "integer", 0, 0, 1,
                         help = "1: evaluation chooses as training does, each sequence apart; 0: "
                           .. "as a text is written"}

local LEAK = {"allow_leak", "boolean", false,
              help = "train for the next token although it sees later ones"}

local FROZEN = {"frozen", "boolean", nil,
                help = "what gives its logits stays as it was drawn: a control"}

-- Of rows that may be those of another router, without what every router has.
local function own_rows(rows)
  local own = {}
  for _, row in ipairs(rows) do
    if row ~= FROZEN and row ~= LEAK then own[#own + 1] = row end
  end
  return own
end

local function of_table(what, name, value)
  local spec = options.read(what, value, SPEC)
  if not spec.route then fail(what, "route = function(ctx) is missing") end
  spec.definition = definition.of(spec)
  spec.name, spec.rows = name, own_rows(spec.rows or {})
  check_words(what, "gives", spec.gives)
  check_rows(what, spec.rows, {name = true, allow_leak = true, frozen = true})
  if not spec.frozen and routing.gives(spec, "logits") then
    spec.rows[#spec.rows + 1] = FROZEN
  end
  options.read(what .. ": model", spec.model, MODEL)
  capacity.read(what .. ": model", spec.model and spec.model.capacity)
  for word in pairs(spec.except or {}) do
    if not EXCEPT[word] then options.unknown(what, "except", word, sorted(EXCEPT)) end
  end
  if not spec.causal then spec.rows[#spec.rows + 1] = LEAK end
  return spec
end

--- The router of this name that a value says, for nn.routers.
function routing.make_router(what, name, value)
  if getmetatable(value) == Router then return value end
  if type(value) == "function" then return setmetatable(of_function(name, value), Router) end
  if type(value) == "table" then return setmetatable(of_table(what, name, value), Router) end
  fail(what, "must be a table with route = function(ctx), got %s", type(value))
end

local BESIDE = "experts top_k expert_dim router capacity shared_experts normalize scale activation "
  .. "gated expert_bias expert_dropout"

-- Names that no coefficient can have: options of nn.moe, and the coefficients of `rules`.
local function taken_names(rules, but)
  local taken = {}
  for name in BESIDE:gmatch "%S+" do taken[name] = true end
  for name, rule in pairs(rules) do
    for _, row in ipairs(name ~= but and rule.rows or {}) do taken[row[1]] = true end
  end
  return taken
end

--- The balance rule of this name that a table says, for nn.balances.  before: of one of the
-- program's own those that were read before it.
function routing.make_rule(what, name, value, before)
  local rule = options.read(what, value, RULE)
  if not rule.loss and not rule.update then
    fail(what, "loss = function(ctx, routing) or update = function(ctx, load) is missing")
  end
  rule.definition = definition.of(rule)
  rule.name, rule.rows = name, rule.rows or {}
  check_words(what, "needs", rule.needs)
  check_rows(what, rule.rows, taken_names(before or nn.balances, name))
  if #rule.rows == 0 then fail(what, "rows are missing: the first is what turns it on") end
  return rule
end

--- Names of the routers.
function routing.names() return routers.names(nn.routers) end

--- The balance rules in order of their names.
function routing.all_rules()
  local list = {}
  for i, name in ipairs(routers.names(nn.balances)) do list[i] = nn.balances[name] end
  return list
end

-- ---- what they run ----

-- "file:line: " of the user's line at which f, which is called by routing.run, is; where none is
-- under way any more, because its last line is a call, of its first.  nil: f is the program's.
local function place_in(f)
  for level = 3, 200 do
    local info = debug.getinfo(level, "Slf")
    -- at level 4 it raises again what a router said that was called by f
    if not info or level > 4 and info.func == routing.run then break end
    if fields.is_users(info) then return ("%s:%d: "):format(info.short_src, info.currentline) end
    if info.func == f then break end
  end
  local info = debug.getinfo(f, "S")
  return fields.is_users(info) and ("%s:%d: "):format(info.short_src, info.linedefined) or nil
end

--- f(...), a function of a router or balance rule: what it raises begins with the place in the
-- user's file and with `what`, which one it is.
function routing.run(what, f, ...)
  local function tell(e)
    local message = tostring(e)
    local at, text = message:match "^([^\n]-:%d+: )(.*)$"
    return (place_in(f) or at or "") .. what .. ": " .. (text or message)
  end
  local results = table.pack(xpcall(f, tell, ...))
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- ---- options of a router ----

--- The name of router= as it was given: "name" or {"name", ...} or {name = "name", ...}
function routing.name_of(given)
  if type(given) == "table" then return given.name or given[1] end
  return given
end

--- What a model or layer of these rows is given, with what its router prefers where that says
-- nothing.
function routing.preferred(what, rows, given)
  local known = type(given) == "table" and given.router ~= nil
  local router = known and routing.find(what, given.router)
  if not router or not router.model then return given end
  local all = {}
  for name, v in pairs(given) do all[name] = v end
  for _, row in ipairs(rows) do
    local name = row[1]
    if all[name] == nil then all[name] = router.model[name] end
    if name == "capacity" then all[name] = capacity.of_number(router.model[name], all[name]) end
  end
  return all
end

-- What router = {name, option = value} says of its options.
local function own_of(what, router, given)
  local o, place = {}, router.positional
  for k, v in pairs(type(given) == "table" and given or {}) do
    if k == 2 and place then
      if given[place] ~= nil then fail(what, "%s is given twice", place) end
      k = place
    end
    if k ~= 1 and k ~= "name" then o[k] = v end
  end
  return o
end

local LIKE = {"gives", "balance", "of_mean", "model", "frozen", "varies", "scoped", "capacity",
              "normalized", "reach"}

-- A router that stands for another, which it is like.
local function standing(what, router, given)
  local o, copy = options.read(what, own_of(what, router, given), router.rows), {}
  local good, other = pcall(router.like, o)
  if not good then fail(what, "%s", tostring(other)) end
  for name, v in pairs(router) do copy[name] = v end
  for _, name in ipairs(LIKE) do copy[name] = other[name] end
  return setmetatable(copy, Router)
end

--- The router that router= names; raises where there is none.
function routing.find(what, given)
  local name = routing.name_of(given)
  if type(name) ~= "string" then
    fail(what, "router must be a name or {name, option = value}, got %s", type(given))
  end
  local router = nn.routers[name] or options.unknown(what, "router", name, routing.names())
  if not router.like then return router end
  return standing(("%s: router '%s'"):format(what, name), router, given)
end

-- beside: options of the model that routers may have as well (normalize, scale).
local function given_options(what, router, given, beside)
  local o = own_of(what, router, given)
  for _, row in ipairs(router.rows) do
    local name = row[1]
    local v = beside[name]
    if v ~= nil and o[name] ~= nil and o[name] ~= v then
      fail(what, "%s is %s in router and %s beside it", name, tostring(o[name]), tostring(v))
    end
    if v ~= nil then o[name] = v end
  end
  return o
end

local function beside_of(o) return {normalize = o.normalize, scale = o.scale} end

--- The row of a router's option, or nil.
function routing.option(router, name) return row_of(router.rows, name) end

--- Raise, or of a stored model leave out, what the model has beside a router that has no such
-- option.
function routing.check_beside(what, router, o, stored)
  if router.any then return end
  local as_it_is = {normalize = router.normalized, scale = 1}
  for _, name in ipairs {"normalize", "scale"} do
    local known = row_of(router.rows, name)
    if not known and stored then o[name] = nil end
    if not known and o[name] ~= nil and o[name] ~= as_it_is[name] then
      fail(what, "%s has no effect with router '%s'", name, router.name)
    end
  end
end

-- Options by rows, of which those that `goes` says may be tables that go by the steps.
local function read_numbers(what, given, rows, goes)
  local plain, tables = {}, {}
  for name, v in pairs(given) do
    local row = type(v) == "table" and row_of(rows, name)
    if row and goes(row) then
      tables[name] = coefficient.read(what, row, v)
      v = tables[name].value
    end
    plain[name] = v
  end
  local o = options.read(what, plain, rows)
  for name, v in pairs(tables) do o[name] = v end
  return o
end

--- The options of a router: those of router = {name, ...} over normalize and scale of o over its
-- rows' defaults.  Reading one that it has not is an error.
function routing.options(what, router, given, o)
  local own = given_options(what, router, given, beside_of(o))
  what = ("%s: router '%s'"):format(what, router.name)
  if router.any and next(own) ~= nil then
    fail(what, "it is a function, which has no options: %s", tostring(next(own)))
  end
  for name, v in pairs(own) do
    if not row_of(router.rows, name) and row_of(routing.every_balance_row(), name) then
      fail(what, "%s is an option of balance: balance = {%s = %s}", name, name, tostring(v))
    end
  end
  local function goes(row) return row[2] == "number" and row.scheduled end
  return setmetatable(read_numbers(what, own, router.rows, goes), {__index = function(_, name)
    if row_of(router.rows, name) then return nil end
    error(("ctx.options has no '%s': it is not in its rows"):format(tostring(name)), 0)
  end})
end

-- ---- what goes with what ----

--- What holds of other routers and not of this one: a list of sentences.
function routing.exceptions(router)
  local list = {}
  for i, word in ipairs(sorted(router.except or {})) do
    list[i] = ("Not so of it: %s (%s)"):format(EXCEPT[word], router.except[word])
  end
  return list
end

--- Whether a router says that it gives logits, scores or a bias.
function routing.gives(router, word)
  return (" " .. router.gives .. " "):find(" " .. word .. " ", 1, true) ~= nil
end

local function fits(rule, router) return routing.gives(router, rule.needs) end

-- Rows of a rule that have an effect with a router.
local function rows_with(rule, router)
  if fits(rule, router) then return rule.rows end
  return router.scoped and {row_of(rule.rows, "scope")} or {}
end

--- Whether a rule does something to a model with these coefficients.
function routing.in_force(rule, router, coefficients)
  return fits(rule, router) and coefficients[rule.rows[1][1]] ~= nil
end

--- Rows of what balance= takes with a router: its own defaults before the rules'.
function routing.balance_rows(router)
  local rows = {}
  for _, rule in ipairs(routing.all_rules()) do
    for _, row in ipairs(rows_with(rule, router)) do
      local own = {help = row.help, choices = row.choices}
      table.move(row, 1, 5, 1, own)
      local preferred = router.balance and router.balance[row[1]]
      if preferred ~= nil then own[3] = preferred end
      own.of_mean = router.of_mean and router.of_mean[row[1]]
      if own.of_mean then
        own[3] = nil
        own.help = ("%s; default: %s by the number of layers with experts"):format(row.help,
          options.number(own.of_mean))
      end
      rows[#rows + 1] = own
    end
  end
  return rows
end

--- The row of what balance= takes with a router, or nil.
function routing.balance_row(router, name) return row_of(routing.balance_rows(router), name) end

--- Is there a balance rule with this coefficient?
function routing.is_coefficient(name) return row_of(routing.every_balance_row(), name) ~= nil end

--- Rows of all rules.
function routing.every_balance_row()
  local rows = {}
  for _, rule in ipairs(routing.all_rules()) do rows = joined(rows, rule.rows) end
  return rows
end

local function check_own_defaults(router, rows)
  local what = ("router '%s'"):format(router.name)
  options.read(what .. ": balance", router.balance, rows)
  for _, row in ipairs(rows) do
    if row_of(router.rows, row[1]) then
      fail(what, "its option '%s' is one of balance= as well", row[1])
    end
  end
end

--- Coefficients of the balance rules that have an effect.  stored: of a model made before, where
-- the others are left out; elsewhere they are refused.
function routing.balance(what, router, given, stored, own)
  local kept, rows = {}, routing.balance_rows(router)
  check_own_defaults(router, rows)
  for name, v in pairs(given or {}) do kept[name] = v end
  for _, row in ipairs(routing.every_balance_row()) do
    local name = row[1]
    if kept[name] ~= nil and not row_of(rows, name) then
      if not stored then fail(what, "%s has no effect with router '%s'", name, router.name) end
      kept[name] = nil
    end
  end
  local frozen = router.frozen or own and rawget(own, "frozen")
  for _, rule in ipairs(routing.all_rules()) do
    local name = rule.rows[1][1]
    if frozen and rule.of_weight and kept[name] ~= nil and not stored then
      fail(what, "%s has no effect: the weight of router '%s' is frozen", name, router.name)
    end
  end
  return read_numbers(what .. ": balance", kept, rows, function(row) return row[2] == "number" end)
end

--- Raise if a router cannot be what is asked: {experts=, top_k=, capacity=}.
function routing.check(what, router, o, own)
  capacity.read(what, o.capacity)
  if o.capacity and router.capacity then
    fail(what, "capacity has no effect with router '%s': %s", router.name, router.capacity)
  end
  what = ("%s: router '%s'"):format(what, router.name)
  local wrong = router.check and routing.run(what, router.check, o.experts, o.top_k, own)
  if wrong then fail(what, "%s", wrong) end
end

--- Raise if a router that sees later tokens is to learn what comes next, or to write it.  causal:
-- the layer's stack does the one or the other.
function routing.check_leak(mode, router, own, causal)
  if router.causal or not causal then return end
  if mode == "decode" then
    fail("generate", "router '%s' cannot write one token after another: %s", router.name,
      router.leak)
  end
  if mode ~= "train" or own.allow_leak then return end
  fail("train", "router '%s' cannot train for the next token: %s; router = {\"%s\", allow_leak "
    .. "= true} does it all the same", router.name, router.leak, router.name)
end

-- ---- as a list ----

--- Rows of all that router = and balance = take with a router.
function routing.all_rows(router) return joined(router.rows, routing.balance_rows(router)) end

--- Its own defaults of the model's options, as texts.
function routing.of_model(router)
  local own, out = router.model or {}, {}
  for _, row in ipairs(MODEL) do
    local name, v = row[1], own[row[1]]
    if v ~= nil then
      out[#out + 1] = name == "capacity" and capacity.text(v) or name .. "=" .. tostring(v)
    end
  end
  return out
end

local function defaults(rows, more)
  local out = {}
  for _, row in ipairs(rows) do
    local v = row[3]
    if v ~= nil then
      v = type(v) == "number" and options.number(v) or tostring(v)
      out[#out + 1] = ("%s=%s"):format(row[1], v)
    elseif row.of_mean then
      out[#out + 1] = ("%s=%s/layers"):format(row[1], options.number(row.of_mean))
    end
  end
  return table.concat(table.move(more, 1, #more, #out + 1, out), " ")
end

--- routers() -> list of {name=, rule=, defaults=, paper=, causal=, source=, top_k=, varies=},
-- which prints itself
function routing.list()
  local list = {}
  for i, name in ipairs(routing.names()) do
    local r = nn.routers[name]
    list[i] = {name = name, rule = r.rule,
               defaults = defaults(routing.all_rows(r), routing.of_model(r)),
               paper = r.paper, causal = r.causal, source = r.source,
               top_k = r.model and r.model.top_k, varies = r.varies or false}
  end
  return setmetatable(list, {__tostring = router_table.text})
end

return routing
