-- One expert a token; its gate is the probability itself, so that the router learns of the loss.

local choice = require "switchyard.model.choice"

local CUT = 0.87962566 -- of a normal's deviation what is left when it is cut at two of them

-- In training alone, and for the router alone: the expert sees x itself.
local function jittered(ctx)
  local j = ctx.options.jitter
  if ctx.mode ~= "train" or j == 0 then return ctx.x end
  return ctx.x * (tensor.rand(ctx.x.shape) * (2 * j) + (1 - j))
end

return {
  name = "switch",
  rule = "softmax over the E logits, the largest; gate = its probability",
  doc = "One expert a token, the likeliest; its gate is its probability, not made to sum to 1. In "
    .. "training the router's input is multiplied by uniform draws from 1 - jitter to 1 + jitter; "
    .. "the expert sees x itself. The weights begin as a truncated normal of deviation "
    .. "sqrt(0.1 / dim).",
  paper = "aux 0.01 of each group, shares sum to 1, layers added (T5X averages them); no z-loss; "
    .. "capacity 1.25 in training and 2.0 in evaluation, of N/E, at least 4, in groups of 1024 "
    .. "tokens (mesh): for one expert a token the same here, of a micro-batch",
  source = "Fedus et al. 2021",
  rows = {{"jitter", "number", 0.01, 0, 0.99, help = "of the router's input; 0: none"}},
  model = {top_k = 1, capacity = {train = 1.25, eval = 2, least = 4}},
  balance = {aux = 0.01, z = 0, scope = "group"},
  check = function(_, K)
    if K ~= 1 then return ("top_k is %d; it sends a token to one expert"):format(K) end
  end,
  normalized = false,
  route = function(ctx)
    local init = {"truncated", math.sqrt(0.1 / ctx.x.shape[2]) / CUT}
    return choice.likeliest(ctx, ctx:logits {x = jittered(ctx), init = init})
  end,
}
