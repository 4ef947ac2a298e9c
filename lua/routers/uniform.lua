-- Experts by lot, anew in each step.  Nothing is learned.

return {
  name = "uniform",
  rule = "K experts by lot, anew in each step; gates 1/K",
  doc = "K different experts by lot for each token, in evaluation and generation as well. Nothing "
    .. "is learned: a control.",
  source = "Zuo et al. 2021 (THOR)",
  gives = "",
  except = {order = "they are by lot", ties = "they are by lot", decode = "they are by lot",
            step = "they are by lot"},
  normalized = true,
  route = function(ctx)
    local _, experts = tensor.rand({ctx.N, ctx.E}):topk(ctx.K, -1)
    return {experts = ctx:take(experts), gates = tensor.full({ctx.N, ctx.K}, 1 / ctx.K)}
  end,
}
