-- What a router makes of given numbers, in double and without a graph: for tests.
--     local hand = dofile(os.getenv "srcdir" .. "/tests/lua/by_hand.lua")

local nn = require "switchyard.model.nn"
local context = require "switchyard.model.routing_context"
local routing = require "switchyard.model.routing"
local hand = {}

-- A description in which nothing is recorded: parameters and states of m's first layer in double,
-- those in `given` as they are.
local function description_of(m, o, n)
  local function double(from)
    return setmetatable({}, {__index = function(_, key)
      return o.params and o.params[key] or from[key] and from[key]:detach():cast "f64"
    end})
  end
  local graph = setmetatable({input = function(_, _, dtype, shape)
    return tensor.zeros(shape, {dtype = dtype})
  end}, {__index = function() return function() end end})
  local places = {}
  for i = 1, n do places[i] = i - 1 end
  return {mode = o.mode or "eval", graph = graph, inputs = {},
          positions = tensor(places, {dtype = "i32"}),
          batch = {tokens = tensor(o.ids or places, {dtype = "i32"}):narrow(1, 1, n):view(1, n),
                   documents = tensor.zeros({1, n}, {dtype = "i32"})},
          model = setmetatable({params = double(m.params), states = double(m.states)},
            {__index = m})}
end

--- What router makes of x (N,C) f64 in layer 1 of m.  o: E, K; options, as router = takes them;
-- ids; params by name, in the place of m's; logits, in the place of those it makes of x; mode;
-- also(ctx, r) is called where the description still is.
function hand.route(router, m, x, o)
  local N, r = x.shape[1], nil
  local own = routing.options("by hand", router, o.options or router.name, {})
  nn.describe(description_of(m, o, N), nn.layer, 1, nn.scope, "mlp", function()
    nn.description().mixture = {mask = tensor.zeros({o.E}, {dtype = "f64"})}
    local ctx = context {
      x = x, E = o.E, K = o.K, N = N, B = 1, T = N, mode = o.mode or "eval", layer = 1,
      options = own, _given = {experts = o.E, top_k = o.K}, _router = router, _coefficients = {},
    }
    if o.logits then
      rawset(ctx, "logits", function(self)
        rawset(self, "_raw", o.logits)
        return o.logits
      end)
    end
    r = router.route(ctx)
    if o.also then o.also(ctx, r) end
  end)
  return r
end

--- Gates (N,E) of a result, 0 where an expert is not chosen.
function hand.dense(r, E)
  local none = tensor.zeros(r.gates.shape, {dtype = r.gates.dtype})
  if r.chosen then return r.chosen:where(r.gates, none) end
  local all
  for e = 1, E do
    local column = r.experts:eq(e):where(r.gates, none):sum(-1, true)
    all = all and all:cat(column, 2) or column
  end
  return all
end

return hand
