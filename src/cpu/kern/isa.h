/* Names of what a kernel source exports: SY_KERN(sy__map) is sy__map_ref, sy__map_avx2 or
 * sy__map_avx512 according to -DSY_ISA. */
#ifndef SY_CPU_KERN_ISA_H
#define SY_CPU_KERN_ISA_H

#define SY_KERN_JOIN2(name, isa) name##_##isa
#define SY_KERN_JOIN(name, isa) SY_KERN_JOIN2(name, isa)
#define SY_KERN(name) SY_KERN_JOIN(name, SY_ISA)

#endif
