#!/usr/bin/env bash
# Kafka on one node in the image apache/kafka: KRaft, SCRAM, ACLs, append times, nothing created by itself. Its settings
# are those of operations/embedded/kafka.py. The image's own start script makes no SCRAM users, and without one nobody
# could log in to make the first.
#
# CLAIMBUS_KAFKA_USERS    SCRAM users from the first start on, one in a line: name=password; `operator` is a super user
# CLAIMBUS_KAFKA_INSIDE   where other containers reach port 9092 of this one
# CLAIMBUS_KAFKA_OUTSIDE  where the host reaches port 9094 of this one
set -euo pipefail
umask 077

data=/var/lib/kafka/data
properties=/tmp/server.properties

# The broker's own password, for its controller and for itself.
if [ ! -e "$data/password" ]; then
  head -c 24 /dev/urandom | base64 | tr -d '+/=' >"$data/password.part"
  mv "$data/password.part" "$data/password"
fi
own=$(<"$data/password")
scram=org.apache.kafka.common.security.scram.ScramLoginModule
plain=org.apache.kafka.common.security.plain.PlainLoginModule

cat >"$properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=INSIDE://0.0.0.0:9092,OUTSIDE://0.0.0.0:9094,CONTROLLER://127.0.0.1:9093
advertised.listeners=INSIDE://$CLAIMBUS_KAFKA_INSIDE,OUTSIDE://$CLAIMBUS_KAFKA_OUTSIDE
listener.security.protocol.map=INSIDE:SASL_PLAINTEXT,OUTSIDE:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=INSIDE
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.mechanism.controller.protocol=PLAIN
listener.name.inside.scram-sha-512.sasl.jaas.config=$scram required username="kafka" password="$own";
listener.name.outside.scram-sha-512.sasl.jaas.config=$scram required;
listener.name.inside.scram-sha-256.sasl.jaas.config=$scram required;
listener.name.outside.scram-sha-256.sasl.jaas.config=$scram required;
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=$plain required username="kafka" password="$own" user_kafka="$own";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:kafka;User:operator
allow.everyone.if.no.acl.found=false
auto.create.topics.enable=false
log.message.timestamp.type=LogAppendTime
log.dirs=$data/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# After a kill it is let in again when its session before that is over: by default 9 s.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
num.io.threads=4
num.network.threads=2
# What others announce and have under way fits into the heap (docs/operate/start.md).
socket.request.max.bytes=10485760
queued.max.request.bytes=134217728
sasl.server.max.receive.size=8192
max.connections.per.ip=2000
connections.max.idle.ms=30000
END

if [ ! -e "$data/log/meta.properties" ]; then
  users=(--add-scram "SCRAM-SHA-512=[name=kafka,password=$own]")
  while IFS='=' read -r name password; do
    [ -z "$name" ] || users+=(--add-scram "SCRAM-SHA-512=[name=$name,password=$password]")
  done <<<"$CLAIMBUS_KAFKA_USERS"
  # 16 bytes in base 64; the first is zero, since an id that begins with a dash reads as an option
  cluster=$({ printf '\0'; head -c 15 /dev/urandom; } | base64 | tr '+/' '-_' | tr -d '=')
  KAFKA_HEAP_OPTS=-Xmx128m /opt/kafka/bin/kafka-storage.sh format --cluster-id "$cluster" --config "$properties" "${users[@]}"
fi

# To standard output only: the image's own settings also fill files in the container, for ever.
cat >/tmp/log4j2.properties <<'END'
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger=warn, out
# Kafka warns of every setting that it passes on to a client of its own.
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=error
END
export KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/tmp/log4j2.properties
export EXTRA_ARGS="-name kafkaServer"
export KAFKA_HEAP_OPTS=${KAFKA_HEAP_OPTS:--Xms256m -Xmx640m}
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
