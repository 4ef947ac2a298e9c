-- Another router, whose choices nn.record(r) takes down.

local trace = require "switchyard.model.routing_trace"

return {
  name = "record",
  rule = "another router's, whose choices can be recorded",
  doc = "Routes as the router that `of` says (its options behind it: of = \"deepseek_v3 groups=2 "
    .. "keep=1\") and lets nn.record(r) take down, step by step, which experts it chose; router "
    .. "replay forces them again. Balance rules have their common defaults: what that router "
    .. "prefers is said by balance =.",
  rows = {{"of", "string", "softmax", help = "the router, and behind it its options, NAME=VALUE"}},
  gives = "logits scores bias chance",
  check = function(E, K, o) return trace.wrong_router(o.of, E, K) end,
  route = function(ctx)
    local r = trace.route_by(ctx.options.of, ctx)
    if not r.experts or r.experts.shape[2] ~= ctx.K then
      error("what it records are K experts a token", 0)
    end
    trace.keep(ctx, r.experts)
    return r
  end,
}
