-- The squared coefficient of variation of sums over tokens, x (E): variance / mean^2.
--
-- With scope = "step" it is that of the whole step.  It is no sum over micro-batches, so each adds
-- what its own sums change of it: with g the gradient at the step's sums X, of which there are n,
--
--     v(X) + sum of g (n x - X),  whose mean over them is v(X), and its gradient that of v(X)

local nn = require "switchyard.model.nn"

local TINY = 1e-10

local function variance(x, mean) return (x - mean):square():mean() end

--- variation.of(x (E)) -> scalar
local function of(x)
  local mean = x:mean()
  return variance(x, mean) / (mean:square() + TINY)
end

local function gradient(x)
  local E, mean = x.size, x:mean()
  local square = mean:square() + TINY
  return (x - mean) * (2 / E) / square
    - variance(x, mean) * mean * (2 / E) / (square * square)
end

local variation = {of = of}

--- variation.by_scope(ctx, name, x (E)) -> scalar; name: of what, for the step's sum
function variation.by_scope(ctx, name, x)
  local n, scope = nn.micro_batches(), ctx:scope()
  local apart = scope == "sequence" or scope == "group" and ctx:groups() > 1
  if apart and ctx:option(name) ~= 0 then
    error(("scope = '%s' has no effect on %s, which is of a micro-batch or a step")
      :format(scope, name), 0)
  end
  if n == 1 or scope ~= "step" then return of(x) end
  return ctx:_where_weighed(name, of(x), function(known)
    local X = known(nn._step_total(name, x, name))
    return of(X) + (gradient(X) * (x * n - X)):sum()
  end)
end

return variation
