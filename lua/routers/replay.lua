-- The choices of a recorded trace, forced in training; all else as in the router that made them.

local trace = require "switchyard.model.routing_trace"

return {
  name = "replay",
  rule = "the experts that a trace has; gates by the router that made it",
  doc = "In training each token goes to the experts that it went to when the trace was recorded "
    .. "(nn.record), step by step and micro-batch by micro-batch; gates and losses are computed by "
    .. "the router of the trace, so with the same seed and data the run is the recorded one, bit "
    .. "for bit. Evaluation and generation choose as that router does, and all that the model does "
    .. "not say is as with it. A trace of other experts, K, batch, accumulate, of fewer steps or "
    .. "one that begins behind step 1 is refused, and so is r.steps behind its end.",
  source = "routing replay, 2510.11370; Megatron-LM",
  rows = {{"path", "string", "", help = "file of the trace"}},
  positional = "path",
  gives = "",
  except = {alone = "it needs a trace"},
  like = function(o)
    if o.path == "" then error("path is missing: the file of a trace (nn.record)", 0) end
    return trace.stands_for(trace.read(o.path).of)
  end,
  check = function(E, K, o)
    local f = trace.read(o.path)
    return trace.misfit(f, E, K) or trace.wrong_router(f.of, E, K)
  end,
  route = function(ctx)
    local f = trace.of(ctx.options.path)
    if ctx.mode ~= "train" then return trace.route_by(f.of, ctx) end
    local rows = trace.rows(f, ctx)
    ctx._forced = rows:abs():cast "i32"
    local r = trace.route_by(f.of, ctx)
    if not r.fewer then return r end
    r.experts = rows:gt(0):where(r.experts, tensor.zeros(r.experts.shape, {dtype = "i32"}))
    return r
  end,
}
