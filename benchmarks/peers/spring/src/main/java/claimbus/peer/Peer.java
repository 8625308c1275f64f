package claimbus.peer;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.listener.CommonErrorHandler;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.util.backoff.FixedBackOff;

/** One stage of the outcome road: the arguments are the listener, batch or record, and the stage. */
@SpringBootApplication
public class Peer {
    public static void main(String[] arguments) {
        SpringApplication peer = new SpringApplication(Peer.class);
        peer.setAdditionalProfiles(arguments[0], arguments[1]);
        peer.run();
    }

    /** Spring Boot gives it to every listener: what fails is tried until it works, where the default passes over it. */
    @Bean
    CommonErrorHandler untilItWorks() {
        return new DefaultErrorHandler(new FixedBackOff(100, FixedBackOff.UNLIMITED_ATTEMPTS));
    }
}
