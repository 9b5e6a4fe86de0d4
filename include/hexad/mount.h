/*
 * mount.h - the verbs `mount` and `umount` of the hexad command, and mount.hexad (src/fuse).
 */
#ifndef HEXAD_MOUNT_H
#define HEXAD_MOUNT_H

/* argv[0] is the verb (or mount.hexad, hexadfs); gives the process's exit code. */
int hx_mount_main(int argc, char **argv);
int hx_umount_main(int argc, char **argv);

#endif
