#!/usr/bin/env bash
# Programs with many small files: git with thousands of objects, and a compile of this project, all on the mount.
# git is told to fsync nothing; before the kill one file is fsynced.
# That it can fail was tried with a mount that forgets every hundredth write.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs git make gcc tar
plan 11
demo_up "$work/d"
mnt=$work/d/mnt
export HOME=$work GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
git config --global gc.auto 0
git config --global gc.pruneExpire now
git config --global init.defaultBranch main
git config --global core.fsync none

# ---- git ----
grow() { # grow DIR FROM TO: a commit a round, 60 files in each, some changed, some removed
    python3 - "$@" <<'PY'
import os, random, subprocess, sys
d, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.chdir(d)
for r in range(first, last):
    rng = random.Random(r)
    for i in range(60):
        p = "d%d/e%d/f%d" % (rng.randrange(9), rng.randrange(5), rng.randrange(40))
        os.makedirs(os.path.dirname(p), exist_ok=True)
        if os.path.exists(p) and rng.random() < 0.1:
            os.unlink(p)
        else:
            with open(p, "wb") as f:
                f.write((b"%d %d\n" % (r, i)) * rng.randrange(1, 200) + rng.randbytes(rng.randrange(0, 300)))
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-qm", "round %d" % r], check=True)
PY
}
sound() { (cd "$1" && git fsck --full --strict --no-dangling && [ -z "$(git status --porcelain)" ]); }
repository() { git init -q "$1" && grow "$1" 0 14 && git -C "$1" tag first && git -C "$1" checkout -qb side && grow "$1" 14 20; }
repository "$work/there" >"$work/there.log" 2>&1 || die "git works locally" "$(cat "$work/there.log")"
check "20 commits of 60 files" repository "$mnt/here"
check "the same objects as locally" eval \
    '[ "$(git -C "$mnt/here" ls-tree -r HEAD)" = "$(git -C "$work/there" ls-tree -r HEAD)" ] && sound "$mnt/here" &&
     [ "$(git -C "$mnt/here" count-objects | cut -d" " -f1)" -gt 1200 ]'
check "a merge, a rebase, switching between trees" eval '
    cd "$mnt/here" && git checkout -q main && echo x >new && git add new && git commit -qm new && git merge -q -m merge side &&
    git checkout -q first && git checkout -q side && git rebase -q main && git checkout -q main && sound .'
check "gc while others clone and commit" eval '
    git -C "$mnt/here" worktree add -q "$mnt/tree" first || exit # not beside gc, which takes its first HEAD of zeros for damage
    git clone -q --no-local "$mnt/here" "$mnt/other" & c=$!
    (cd "$mnt/tree" && git checkout -q -b more && echo y >more && git add more && git commit -qm more) & w=$!
    git -C "$mnt/here" gc -q; g=$?
    wait $c && wait $w && [ $g = 0 ] && sound "$mnt/here" && sound "$mnt/other" && sound "$mnt/tree"'
check "repack of everything into one, with a bitmap" eval '
    git -C "$mnt/other" repack -qadfb --depth=20 --window=5 && sound "$mnt/other" &&
    [ "$(git -C "$mnt/other" count-objects | cut -d" " -f1)" = 0 ]'
heads() { git -C "$mnt/here" show-ref; git -C "$mnt/other" show-ref; }
heads >"$work/heads"
sync "$mnt/here/.git/HEAD" # one fsync of one file: the volume has one order, so this covers all

# ---- a compile ----
mkdir "$mnt/src"
check "the sources are copied" eval \
    'tar -C "$HEXAD_SOURCE" --exclude=./build --exclude=./.git --exclude="*.o" --exclude=./config.status -cf - . | tar -C "$mnt/src" -xf - &&
     diff -r -x build -x .git -x "*.o" -x config.status "$HEXAD_SOURCE" "$mnt/src"'
check "configured" eval 'mkdir "$mnt/build" && cd "$mnt/build" && ../src/configure --quiet CFLAGS="-O0 -g0"'
check "made" eval 'make -s -j2 -C "$mnt/build" hexad hexad-segmentd hexad-sim 2>&1'
check "what was made does what it must" eval \
    '"$mnt/build/hexad" --version && [ "$("$mnt/build/hexad-sim" --seed 42)" = "$("$HEXAD_BUILD/hexad-sim" --seed 42)" ]'
sums() { (cd "$mnt" && find build src -type f -print0 | sort -z | xargs -0 md5sum); }
sums >"$work/sums"
sync "$mnt/src/README"

demo kill mount
demo heal
wait_for demo_answers "$work/d" "$demo_pid"
check "after kill -9 of the mount the repositories are sound" eval \
    'sound "$mnt/here" && sound "$mnt/other" && heads | cmp - "$work/heads"'
check "and every file of the build is the same; make finds nothing to do" eval \
    'sums | cmp - "$work/sums" && make -s -q -C "$mnt/build" hexad hexad-segmentd hexad-sim'
