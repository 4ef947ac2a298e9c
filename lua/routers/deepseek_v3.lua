-- Sigmoid scores; a bias that no gradient moves chooses, within the best groups of experts.

local choice = require "switchyard.model.choice"
local routing = require "switchyard.model.routing"

-- scores (N,E), -inf outside of a token's best groups.  A group's score is the sum of its two best,
-- of which a disabled one counts 0: what is left of its group can be chosen.
local function within_groups(ctx, scores)
  local G, N, E = ctx.options.groups, ctx.N, ctx.E
  if G == 1 then return scores end
  local each = scores:view(N, G, E // G)
  local two = each:topk(2, -1)
  two = two:gt(-math.huge):where(two, tensor.zeros(1))
  local _, best = two:sum(-1):topk(ctx.options.keep, -1)
  local kept = (best - 1):one_hot({n = G}):sum(2):gt(0):view(N, G, 1)
  return kept:where(each, tensor.full({1}, -math.huge)):view(N, E)
end

local function check(E, K, o)
  if o.groups == 1 then
    if o.keep > 1 then return ("keep is %d of 1 group"):format(o.keep) end
    return nil
  end
  if E % o.groups ~= 0 then return ("%d experts in %d groups"):format(E, o.groups) end
  local each = E // o.groups
  if each < 2 then
    return ("%d experts in %d groups, of %d; a group's score is that of its two best")
      :format(E, o.groups, each)
  end
  if o.keep > o.groups then return ("keep is %d of %d groups"):format(o.keep, o.groups) end
  if o.keep * each < K then
    return ("top_k is %d of the %d experts of %d groups"):format(K, o.keep * each, o.keep)
  end
end

-- Of a token whose groups are those with the fewest.
local function reach(on, o)
  local each, list, n = #on // o.groups, {}, 0
  for e, enabled in ipairs(on) do
    local g = (e - 1) // each + 1
    list[g] = (list[g] or 0) + (enabled and 1 or 0)
  end
  table.sort(list)
  for i = 1, math.min(o.keep, #list) do n = n + list[i] end
  return n
end

return {
  name = "deepseek_v3",
  rule = "sigmoid; the K largest of score + bias within the best groups of experts",
  doc = "Sigmoid scores; a bias that no gradient moves chooses (balance rule bias), the scores "
    .. "weigh: they are made to sum to 1 (normalize=false or K = 1: not), times scale. With "
    .. "groups, the experts lie in so many groups in their order, and a token chooses within the "
    .. "keep best, by the sum of a group's two largest score + bias.",
  paper = "8 groups, keep 4, 8 of 256 experts and a shared one, the first 3 layers dense; gamma "
    .. "0.001, 0 at the end; sequence loss 0.0001, of f that sum to E there, without "
    .. "the factor E here: the same",
  source = "DeepSeek-V3, 2024; GLM-4.5 (groups 1), Kimi K2 (groups 1, scale 2.827)",
  rows = {
    routing.NORMALIZE, {"scale", "number", 2.5, 0, 1e3, help = "factor on the gates"},
    {"groups", "integer", 1, 1, 4096, help = "groups of experts, at least two in each"},
    {"keep", "integer", 1, 1, 4096, help = "of which a token chooses within the best so many"},
  },
  gives = "logits scores bias",
  balance = {aux = 0, z = 0, gamma = 1e-3, recentre = true, sequence = 1e-4},
  except = {one = "its gate is the score times scale"},
  check = check, reach = reach,
  route = function(ctx)
    local s = ctx:logits():sigmoid()
    local bias = ctx:bias()
    local _, experts = ctx:choose(within_groups(ctx, s + bias + ctx:mask()))
    local r = choice.weighed(ctx, s, experts, bias)
    r.fewer = ctx.options.groups > 1 or nil
    return r
  end,
}
