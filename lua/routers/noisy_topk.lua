-- The K largest of noisy logits; how much noise is learned as well.

local choice = require "switchyard.model.choice"
local nn = require "switchyard.model.nn"

-- The probability that the expert is among the K if its noise were drawn anew and the others'
-- stayed: it is over the K-th largest of the others.
local function chance(ctx, clean, noisy, spread)
  if ctx.K == ctx.E then return tensor.ones(clean.shape) end
  local top = noisy:topk(ctx.K + 1, -1)
  local last, next_one = top:narrow(2, ctx.K, 1), top:narrow(2, ctx.K + 1, 1)
  local over = noisy:ge(last):where(next_one, last)
  return (((clean:maximum(-1e4) - over) / (spread * math.sqrt(2))):erf() + 1) * 0.5
end

return {
  name = "noisy_topk",
  rule = "the K largest of x w + noise * softplus(x w'), softmax over the K",
  doc = "In training each logit has normal noise, whose deviation is softplus of what a second "
    .. "matrix gives; softmax over the K largest. Both matrices begin at 0. Balance rules cv2 and "
    .. "cv2_load keep the experts even. For K = 1 softmax is 1 and the router would not learn.",
  paper = "importance loss 0.1 and load loss 0.1 of the squared coefficient of variation; K = 4",
  source = "Shazeer et al. 2017",
  gives = "logits scores chance",
  balance = {aux = 0, z = 0, cv2 = 0.1, cv2_load = 0.1},
  except = {step = "each draws its own noise"},
  check = function(E, K, o)
    if o.frozen then return "frozen = true: its weights begin at 0, where all experts are equal" end
    return choice.check_chosen(E, K)
  end,
  normalized = true,
  route = function(ctx)
    local size, role = {ctx.E, ctx.x.shape[2]}, {role = "router"}
    local clean = ctx:logits {init = "zeros"}
    local spread = ctx:logits {w = nn.param("gate.noise.weight", size, "zeros", role)}
    spread = spread:maximum(-30):softplus() -- -inf of a disabled one: nothing to divide by
    local noisy = clean
    if ctx.mode == "train" then noisy = clean + tensor.randn(clean.shape) * spread end
    local r = choice.softmax_of_chosen(ctx, clean, noisy)
    r.chance = chance(ctx, clean, noisy, spread)
    return r
  end,
}
