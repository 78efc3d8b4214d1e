import sys, time
from simlab.request import parse
from simlab.configuration import plan
from simlab.refusal import explain
from omegaconf import OmegaConf
t=time.time()
try:
    p = plan(parse("run", sys.argv[1:]))
    print(p.varies, p.sweep, len(p.jobs))
    for j in p.jobs[:4]: print(j.overrides, OmegaConf.to_container(j.config))
except Exception as e:
    print(type(e), "simlab:", explain(e))
print(time.time()-t)
