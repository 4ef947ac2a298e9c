-- nn.routers and nn.balances: the routers and balance rules by name, those of lua/routers/ and
-- lua/balance/ and those of users; and what else nn has of mixtures.
--
--  1. A plain start reads neither these files nor what a mixture is made of: a name is known by its
--     file, which is read when it is first asked for.
--  2. The program's own stay what they are.  A user's may be defined again: that is how one edits
--     it at the prompt.

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local lazy = require "switchyard.core.lazy"
local mixture = lazy "switchyard.model.mixture"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local routing = lazy "switchyard.model.routing"
local words = require "switchyard.core.words"

local routers = {}
local of_table = {} -- of each: {kind=, adds=, make=, objects=, modules=, names=}

local function called(it, name) return ("%s '%s'"):format(it.kind, name) end

local function set(into, name, value)
  local it = of_table[into]
  words.check_name(it.kind, name)
  local what = called(it, name)
  if it.modules[name] then
    error(("%s: it is built in; one of your own has another name: %s(\"my_%s\", {...})")
      :format(what, it.adds, name), 0)
  end
  local object = value ~= nil and routing[it.make](what, name, value) or nil
  it.objects[name], it.names[name] = object, object ~= nil or nil
end

-- The object of a name, or nil.
local function find(it, name)
  local module = it.objects[name] == nil and it.modules[name]
  if module then
    local spec = require("switchyard." .. module)
    assert(spec.name == name)
    it.objects[name] = routing[it.make](called(it, name), name, spec, it.objects)
  end
  return it.objects[name]
end

local function modules_of(folder)
  local modules, names = {}, {}
  for _, module in ipairs(engine.modules(folder .. ".")) do
    local name = module:sub(#folder + 2)
    modules[name], names[name] = module, true
  end
  return modules, names
end

-- A table that makes an object of what is set in it; pairs sees the objects.  adds: what adds one;
-- folder: where the program's own are; make: the function of routing.lua; completion reads
-- `fields`.
local function registry(kind, adds, folder, make)
  local it = {kind = kind, adds = adds, make = make, objects = {}}
  it.modules, it.names = modules_of(folder)
  local meta = {fields = it.names}
  function meta.__newindex(...) return options.call(set, ...) end
  meta.__index = fields.quiet(function(_, name) return find(it, name) end)
  function meta.__pairs()
    for name in pairs(it.modules) do find(it, name) end
    return next, it.objects, nil
  end
  local into = setmetatable({}, meta)
  of_table[into] = it
  return into
end

nn.routers = registry("router", "nn.router", "routers", "make_router")
nn.balances = registry("balance rule", "nn.balance", "balance", "make_rule")

--- Names in one of the two, in their order; no file is read.
function routers.names(into)
  local names = {}
  for name in pairs(of_table[into].names) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function add(what, into, name, spec, form)
  if type(name) ~= "string" or type(spec) ~= "table" then
    error(("%s: takes a name and a table with %s"):format(what, form), 0)
  end
  set(into, name, spec)
end

--- nn.router(name, {rule=, doc=, source=, paper=, rows=, gives=, balance=, of_mean=, model=,
-- causal=, leak=, frozen=, varies=, scoped=, normalized=, capacity=, check=, reach=, positional=,
-- like=, except=, route=function(ctx)}): a router of one's own, in the form of lua/routers/
-- (routing.lua says what each is)
function nn.router(name, spec)
  return options.call(add, "nn.router", nn.routers, name, spec, "route = function(ctx)")
end

--- nn.balance(name, {doc=, source=, needs=, of_weight=, rows=, loss=function(ctx, routing),
-- update=function(ctx, load)}): a balance rule of one's own, in the form of lua/balance/
function nn.balance(name, spec)
  return options.call(add, "nn.balance", nn.balances, name, spec, "loss or update")
end

--- nn.moe(x (...,C), options): mixture.lua
function nn.moe(...) return mixture.moe(...) end
function nn.normalize_gates(...) return mixture.normalize_gates(...) end

local trace = lazy "switchyard.model.routing_trace"

--- nn.record(r) -> recorder: which experts r's tokens choose, from its next step on; r's model has
-- router "record".  recorder:save(path) writes them.
function nn.record(r) return options.call(trace.record, r) end

return routers
