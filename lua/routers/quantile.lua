-- Quantile balancing: what is taken off an expert's scores is the quantile over the tokens by which
-- it would have got its share of them.  s (N,E) scores, beta (E):
--
--     choose the K largest of s_t - beta;  alpha_t = the (K+1)-th largest of s_t - beta
--     beta_j = the (N K / E + 1)-th largest over tokens of s_tj - alpha_t; less its mean
--
--  1. beta is the mean over a step's micro-batches of theirs, as in Megatron-LM: the quantile of
--     several batches is not theirs of one.
--  2. Tokens that define a quantile lie on the border when the same batch is routed again: ties go
--     to the lower expert, on every machine.

local choice = require "switchyard.model.choice"
local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

local SCORES = {}
function SCORES.softmax(logits) return logits:softmax(-1) end
function SCORES.sigmoid(logits) return logits:sigmoid() end

-- beta of a batch, with its mean.  Where there is no (K+1)-th or no token that is no padding, it
-- stays what it was.
local function quantiles(ctx, s, beta)
  local alpha = (s - beta + ctx:mask()):topk(ctx.K + 1, -1):narrow(2, ctx.K + 1, 1)
  local found = ctx:cutoffs(s - alpha, true)
  return found:abs():lt(1e30):where(found, beta)
end

-- The mean is that of the enabled experts; a disabled one has no quantile.
local function update(ctx, s, beta)
  local mean = nn.step_sum("beta", quantiles(ctx, s, beta)) / nn.micro_batches()
  local keep, on = ctx.options.ema, ctx:enabled()
  local now = mean - (mean * on):sum() / on:sum()
  if keep > 0 then now = beta * keep + now * (1 - keep) end
  nn.update(beta, on:gt(0):where(now, beta))
end

return {
  name = "quantile",
  rule = "the K largest of score - beta, beta the quantile by which loads are even",
  doc = "What is taken off an expert's scores before they choose is the quantile over the tokens "
    .. "by which it would have got its share of the last step: no loss and no speed, so aux and "
    .. "gamma have no effect. The scores weigh as they are. With several micro-batches it is the "
    .. "mean of theirs.",
  source = "Su, kexue.fm 11619, 2026; Megatron-LM",
  paper = "no aux, no gamma; ema 0; N K / E a whole number (here rounded down)",
  rows = {
    {"score", "string", "softmax", choices = {"softmax", "sigmoid"}, help = "of the logits"},
    routing.NORMALIZE,
    {"scale", "number", 1, 0, 1e3, help = "factor on the gates"},
    {"ema", "number", 0, 0, 0.999999, help = "share of the old beta that stays"},
  },
  gives = "logits", balance = {z = 0},
  except = {step = "beta is the mean of the micro-batches' quantiles"},
  route = function(ctx)
    local s = SCORES[ctx.options.score](ctx:logits())
    local beta = nn.state("gate.beta", tensor.zeros(ctx.E))
    local _, experts = ctx:choose(s - beta + ctx:mask())
    local r = choice.weighed(ctx, s, experts, beta)
    function r.update()
      if ctx.K < ctx.E then update(ctx, s, beta) end
    end
    return r
  end,
}
