# Runnable scripts, installed; the test suite runs each:  dist_example_DATA += %D%/name.lua
dist_example_DATA += %D%/shakespeare.lua %D%/demo.lua %D%/synthetic.lua %D%/router.lua \
    %D%/own_model.lua %D%/switch.lua %D%/gshard.lua %D%/bakeoff.lua %D%/specialise.lua %D%/README.md
dist_example_DATA += %D%/balance.lua
