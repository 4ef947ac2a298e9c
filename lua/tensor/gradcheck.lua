-- tensor.gradcheck(f, {inputs}, {eps=}): gradients of f against central differences in f64.
--
-- f's result is made a scalar by a fixed weighted sum, so every element of it counts. The error of
-- an element is |analytic - numeric| / max(1, |analytic|, |numeric|); the largest is returned.

local engine = require "switchyard.engine"

local function weighted(y)
  if y.size == 1 then return y:sum() end
  local w = tensor.rand(y.size, {seed = 12345, dtype = y.dtype}):view(y.shape)
  return (y * (w + 0.5)):sum()
end

local function value(f, inputs)
  return engine.no_grad(function() return weighted(f(table.unpack(inputs))):item() end)
end

local function numeric(f, inputs, x, i, eps)
  local flat = x:detach():view(x.size)
  local kept = flat[i]
  flat[i] = kept + eps
  local up = value(f, inputs)
  flat[i] = kept - eps
  local down = value(f, inputs)
  flat[i] = kept
  return (up - down) / (2 * eps)
end

return function(f, inputs, options)
  local eps = options and options.eps or 1e-6
  local xs, worst = {}, 0
  for i, x in ipairs(inputs) do
    local float = x.dtype == "f32" or x.dtype == "f64" or x.dtype == "bf16"
    xs[i] = float and x:detach():cast("f64"):clone():grad(true) or x
  end
  weighted(f(table.unpack(xs))):backward()
  for _, x in ipairs(xs) do
    if x.requires_grad then
      local grad = x.grad and x.grad:contiguous():view(x.size)
      for i = 1, x.size do
        local a, n = grad and grad[i] or 0, numeric(f, xs, x, i, eps)
        local wrong = math.abs(a - n) / math.max(1, math.abs(a), math.abs(n))
        if not (wrong <= worst) then worst = wrong end -- a NaN stays
      end
    end
  end
  return worst
end
