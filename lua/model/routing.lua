-- Routers and balance rules: objects of one form, those of lua/routers/ and lua/balance/ and those
-- of users; their options; what goes with what.
--
--  1. A router is a table: name; rule (a line); doc; source; rows of its options; route(ctx).  And
--     what it permits: gives, a text of what balance rules may ask of it (logits, scores, bias);
--     balance, its own defaults of their coefficients; causal = false with leak, why not; capacity,
--     a text that says why it has none; paper, its paper's defaults in the paper's convention;
--     check(E, K, options), which returns what is wrong, or nil.
--  2. A balance rule is a table: name, doc, source, rows, needs (one of what routers give), and
--     loss(ctx, routing) or update(ctx, load) or both.  Its rows' names are the fields of balance=.
--  3. A function in nn.routers, as before there were objects, is made one once, when it is set:
--     f(logits, K, options) -> gates, experts, scores, update.
--  4. An option that would do nothing is refused with the reason.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"

local routing = {}
local Router = {__name = "router"}

local SPEC = {
  {"name", "string"}, {"rule", "string", ""}, {"doc", "string", ""}, {"source", "string", ""}, {"paper", "string", ""},
  {"rows", "table"}, {"gives", "string", "logits scores"}, {"balance", "table"}, {"causal", "boolean", true},
  {"leak", "string"}, {"capacity", "string"}, {"check", "function"}, {"route", "function"},
}
local RULE = {
  {"name", "string"}, {"doc", "string", ""}, {"source", "string", ""}, {"rows", "table"}, {"needs", "string", "scores"},
  {"loss", "function"}, {"update", "function"},
}

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function has_word(text, word) return (" " .. text .. " "):find(" " .. word .. " ", 1, true) ~= nil end

-- ---- the two kinds ----

-- A table that makes an object of what is set in it; pairs and the length see the objects.
local function registry(make)
  local objects = {}
  local t = setmetatable({}, {
    __index = objects,
    __newindex = function(_, name, value) objects[name] = value ~= nil and make(name, value) or nil end,
    __pairs = function() return next, objects, nil end,
  })
  return t, objects
end

-- A function of before there were objects.
local function of_function(name, f)
  return {
    name = name, rule = "a function", doc = "A router of one's own.", gives = "logits scores bias", any = true, causal = true,
    route = function(ctx)
      local gates, experts, scores, update = f(ctx:logits(), ctx.K, ctx.given)
      return {gates = gates, experts = experts, scores = scores, update = update}
    end,
  }
end

local function check_rows(what, rows)
  for i, row in ipairs(rows) do
    if type(row) ~= "table" or type(row[1]) ~= "string" or type(row[2]) ~= "string" then
      error(("%s: rows[%d] must be {name, type, default, least, most, help = text}"):format(what, i), 0)
    end
  end
end

local function make_router(name, value)
  if getmetatable(value) == Router then return value end
  local what = ("router '%s'"):format(tostring(name))
  local spec
  if type(value) == "function" then
    spec = of_function(name, value)
  elseif type(value) == "table" then
    spec = options.read(what, value, SPEC)
    if not spec.route then error(what .. ": route = function(ctx) is missing", 0) end
    spec.name, spec.rows = name, table.move(spec.rows or {}, 1, #(spec.rows or {}), 1, {})
    check_rows(what, spec.rows)
    if not spec.causal then
      spec.rows[#spec.rows + 1] = {"allow_leak", "boolean", false, help = "train for the next token although it sees later ones"}
    end
  else
    error(("%s: must be a table with route = function(ctx), got %s"):format(what, type(value)), 0)
  end
  return setmetatable(spec, Router)
end

local function make_rule(name, value)
  local what = ("balance rule '%s'"):format(tostring(name))
  local rule = options.read(what, value, RULE)
  if not rule.loss and not rule.update then error(what .. ": loss = function(ctx, routing) or update = function(ctx, load) is missing", 0) end
  rule.name, rule.rows = name, rule.rows or {}
  check_rows(what, rule.rows)
  return rule
end

routing.routers = registry(make_router)
routing.rules = registry(make_rule)

--- Objects of the files of lua/routers/ and lua/balance/.
function routing.load()
  for _, module in ipairs(engine.modules "routers.") do
    local spec = require("switchyard." .. module)
    routing.routers[spec.name] = spec
  end
  for _, module in ipairs(engine.modules "balance.") do
    local spec = require("switchyard." .. module)
    routing.rules[spec.name] = spec
  end
end

function routing.names() return sorted(routing.routers) end

--- The balance rules in order of their names.
function routing.all_rules()
  local list = {}
  for i, name in ipairs(sorted(routing.rules)) do list[i] = routing.rules[name] end
  return list
end

-- ---- options ----

--- The name of router= as it was given: "name" or {"name", ...} or {name = "name", ...}
function routing.name_of(given)
  if type(given) == "table" then return given.name or given[1] end
  return given
end

--- The router that router= names; raises where there is none.
function routing.find(what, given)
  local name = routing.name_of(given)
  if type(name) ~= "string" then
    error(("%s: router must be a name or {name, option = value}, got %s"):format(what, type(given)), 0)
  end
  return routing.routers[name] or options.unknown(what, "router", name, routing.names())
end

-- beside: options of the model that routers may have as well (normalize, scale).
local function given_options(what, router, given, beside)
  local o = {}
  for k, v in pairs(type(given) == "table" and given or {}) do
    if k ~= 1 and k ~= "name" then o[k] = v end
  end
  for _, row in ipairs(router.rows or {}) do
    local v = beside and beside[row[1]]
    if v ~= nil and o[row[1]] ~= nil and o[row[1]] ~= v then
      error(("%s: %s is %s in router and %s beside it"):format(what, row[1], tostring(o[row[1]]), tostring(v)), 0)
    end
    if v ~= nil then o[row[1]] = v end
  end
  return o
end

-- What the model has beside the router, where it changes nothing.
local NEUTRAL = {normalize = true, scale = 1}

--- Raise, or of a stored model leave out, what the model has beside a router that has no such option.
function routing.check_beside(what, router, beside, stored)
  for name, neutral in pairs(router.any and {} or NEUTRAL) do
    local known = false
    for _, row in ipairs(router.rows) do known = known or row[1] == name end
    if not known and stored then beside[name] = nil end
    if not known and beside[name] ~= nil and beside[name] ~= neutral then
      error(("%s: %s has no effect with router '%s'"):format(what, name, router.name), 0)
    end
  end
end

--- The options of a router: those of router = {name, ...} over `beside` over its rows' defaults.
function routing.options(what, router, given, beside)
  local o = given_options(what, router, given, beside)
  if router.any then return o end
  return options.read(("%s: router '%s'"):format(what, router.name), o, router.rows)
end

--- Whether a rule has an effect with a router.
function routing.fits(rule, router) return has_word(router.gives, rule.needs) end

--- Rows of what balance= takes with a router: its own defaults before the rules'.
function routing.balance_rows(router)
  local rows = {}
  for _, rule in ipairs(routing.all_rules()) do
    for _, row in ipairs(routing.fits(rule, router) and rule.rows or {}) do
      local own = table.move(row, 1, 5, 1, {help = row.help})
      if router.balance and router.balance[row[1]] ~= nil then own[3] = router.balance[row[1]] end
      rows[#rows + 1] = own
    end
  end
  return rows
end

--- Rows of all rules, without defaults.
function routing.every_balance_row()
  local rows = {}
  for _, rule in ipairs(routing.all_rules()) do
    for _, row in ipairs(rule.rows) do rows[#rows + 1] = {row[1], row[2], nil, row[4], row[5], help = row.help, default = row[3]} end
  end
  return rows
end

--- Coefficients of the balance rules that have an effect.  stored: of a model made before, where the
-- others are left out; elsewhere they are refused.
function routing.balance(what, router, given, stored)
  local kept = {}
  for name, v in pairs(given or {}) do kept[name] = v end
  for _, rule in ipairs(routing.all_rules()) do
    for _, row in ipairs(not routing.fits(rule, router) and rule.rows or {}) do
      if kept[row[1]] ~= nil and not stored then
        error(("%s: %s has no effect with router '%s'"):format(what, row[1], router.name), 0)
      end
      kept[row[1]] = nil
    end
  end
  return options.read(what .. ": balance", kept, routing.balance_rows(router))
end

--- Raise if a router cannot be what is asked: {experts=, top_k=, capacity=}.
function routing.check(what, router, o, own)
  if o.capacity and router.capacity then
    error(("%s: capacity has no effect with router '%s': %s"):format(what, router.name, router.capacity), 0)
  end
  local wrong = router.check and router.check(o.experts, o.top_k, own)
  if wrong then error(("%s: router '%s': %s"):format(what, router.name, wrong), 0) end
end

--- Raise if a router that sees later tokens is to learn what comes next.
function routing.check_leak(what, router, own)
  if router.causal or own.allow_leak then return end
  error(("%s: router '%s' cannot train for the next token: %s; router = {\"%s\", allow_leak = true} does it all the same")
    :format(what, router.name, router.leak or "it sees later tokens", router.name), 0)
end

-- ---- as a list ----

local function defaults(rows)
  local out = {}
  for _, row in ipairs(rows) do
    if row[3] ~= nil then out[#out + 1] = ("%s=%s"):format(row[1], type(row[3]) == "number" and options.number(row[3]) or tostring(row[3])) end
  end
  return table.concat(out, " ")
end

local function text_of(list)
  local lines = {}
  for i, r in ipairs(list) do
    lines[i] = ("%-14s %s\n%14s %s%s%s"):format(r.name, r.rule, "", r.causal and "causal" or "sees later tokens",
      r.defaults ~= "" and "; " .. r.defaults or "", r.source ~= "" and "; " .. r.source or "")
    if r.paper ~= "" then lines[i] = lines[i] .. ("\n%14s in the paper: %s"):format("", r.paper) end
  end
  return table.concat(lines, "\n")
end

--- routers() -> list of {name=, rule=, defaults=, paper=, causal=, source=}, which prints itself
function routing.list()
  local list = {}
  for i, name in ipairs(routing.names()) do
    local r = routing.routers[name]
    local rows = table.move(r.rows or {}, 1, #(r.rows or {}), 1, {})
    table.move(routing.balance_rows(r), 1, 99, #rows + 1, rows)
    list[i] = {name = name, rule = r.rule, defaults = defaults(rows), paper = r.paper or "", causal = r.causal, source = r.source or ""}
  end
  return setmetatable(list, {__tostring = text_of})
end

routing.Router = Router
return routing
