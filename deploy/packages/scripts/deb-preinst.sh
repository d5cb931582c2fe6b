# The server is started when the package comes, not when it is upgraded, be it
# that it runs or that the admin has stopped it. In postinst an upgrade looks
# like a package that comes back after its removal.
if [ "$1" = install ]; then
  : >/run/lockd-comes
fi
