-- Another router, whose choices nn.record(r) takes down.

local trace = require "switchyard.model.routing_trace"

return {
  name = "record",
  rule = "another router's, whose choices can be recorded",
  doc = "Routes as the router that `of` says (its options behind it: of = \"deepseek_v3 groups=2 "
    .. "keep=1\") and lets nn.record(r) take down, step by step, which experts it chose; router "
    .. "replay forces them again. All that the model does not say is as with that router. Of "
    .. "routers that give a token any number of experts nothing can be recorded.",
  rows = {{"of", "string", "softmax", help = "the router, and behind it its options, NAME=VALUE"}},
  positional = "of",
  gives = "",
  like = function(o) return trace.stands_for(o.of) end,
  check = function(E, K, o) return trace.wrong_router(o.of, E, K) end,
  route = function(ctx)
    local of = ctx.options.of
    local r = trace.route_by(of, ctx)
    trace.keep(ctx, r, of)
    return r
  end,
}
