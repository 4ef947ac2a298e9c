-- Each router as the tests of identities try it, in small models:
--     local cases = dofile(os.getenv "srcdir" .. "/tests/lua/identity_cases.lua")

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"
local with = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua").with
local cases = {E = 4}
local E = cases.E

-- What a router cannot do without.
local NEEDED = {
  forced = function(experts) return {experts = experts == 1 and "1" or "2,3 3,1 4,2 1,4"} end,
}

-- Options that draw at random in training, as they are where what is drawn would differ; and those
-- whose default is too little to be seen in two steps.
local QUIET = {jitter = 0, policy = "all", l1 = 0.01}

--- router= of a router.  quiet: it draws nothing in training.
function cases.options_of(router, quiet, experts)
  local o = {router.name}
  if not router.causal then o.allow_leak = true end
  local needed = NEEDED[router.name]
  for name, v in pairs(needed and needed(experts or E) or {}) do o[name] = v end
  for _, row in ipairs(quiet and router.rows or {}) do
    if QUIET[row[1]] ~= nil then o[row[1]] = QUIET[row[1]] end
  end
  return o
end

--- Coefficients of 0 for all rules that the router has by itself.
function cases.silent(router)
  local o = {}
  for _, row in ipairs(routing.balance_rows(router)) do
    if type(row[3]) == "number" and (not row[4] or row[4] <= 0) then o[row[1]] = 0 end
  end
  return o
end

--- Whether a coefficient of this name goes with it.
function cases.has_coefficient(router, name)
  for _, row in ipairs(routing.balance_rows(router)) do
    if row[1] == name then return true end
  end
  return false
end

--- A case of a router: case.make(more, quiet) makes family(base with more); K: two experts a token,
-- or one where the router takes one.
function cases.of(name, family, base)
  local router = nn.routers[name]
  if router.like and not (router.except or {}).alone then router = routing.find("case", name) end
  local case = {name = name, router = router, except = router.except or {}}
  function case.make(more, quiet)
    local o = with({top_k = case.K, capacity = false, activation = "silu", expert_bias = false},
      more)
    return family(with(base, with({router = cases.options_of(router, quiet, o.experts)}, o)))
  end
  for _, K in ipairs {2, 1} do
    case.K = K
    local good, why = pcall(case.make)
    if good then return case end
    case.why = case.why or why
  end
  case.K = nil
  return case
end

--- Cases of all routers that can be used by themselves.
function cases.all(family, base)
  local list = {}
  for _, r in ipairs(routers()) do
    local except = nn.routers[r.name].except or {}
    if not except.alone then list[#list + 1] = cases.of(r.name, family, base) end
  end
  return list
end

--- Routing weights of the model far from 0 and all of them different.
function cases.scatter(m)
  for i, info in ipairs(m._info) do
    if info.name:find("mlp.", 1, true) and not info.name:find("_proj", 1, true) then
      engine.copy(m.params[i], tensor.randn(m.params[i].shape, {seed = i}) * 0.5)
    end
  end
  return m
end

return cases
