-- Balance by the router's weights alone: rows that stand at right angles choose evenly.

local nn = require "switchyard.model.nn"

return {
  name = "simbal",
  doc = "The sum of |w w^T - I| over the router's weights w (E,C): rows of length 1 at right "
    .. "angles to each other. It sees no token, so it is the same for any batch.",
  source = "Omi et al. 2025 (2506.14038)",
  needs = "logits",
  of_weight = true,
  rows = {{"simbal", "number", nil, 0, 1e6, help = "weight of the loss of the router's weights"}},
  loss = function(ctx)
    local w, one = ctx:weight(), {}
    local E = w.shape[1]
    for e = 1, E do one[e] = e - 1 end
    local unit = tensor(one, {dtype = "i32"}):one_hot({n = E})
    nn.loss("simbal", (ctx:linear(w, w) - unit):abs():sum(), ctx:setting "simbal")
  end,
}
