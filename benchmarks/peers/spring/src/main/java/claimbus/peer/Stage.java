package claimbus.peer;

import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** What a stage makes of the records that it has read; what it writes to its database is in by then. */
public interface Stage {
    List<ProducerRecord<String, byte[]>> handle(List<ConsumerRecord<String, byte[]>> records);
}
