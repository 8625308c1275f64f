package claimbus.peer;

import com.zaxxer.hikari.HikariDataSource;
import java.net.URI;
import javax.sql.DataSource;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** The pool, of an address as the services have it: postgresql://user:password@host:port/database. */
@Configuration
class Database {
    @Bean
    DataSource dataSource(@Value("${peer.database}") URI address) {
        String[] user = address.getUserInfo().split(":", 2);
        HikariDataSource pool = new HikariDataSource();
        pool.setJdbcUrl("jdbc:postgresql://%s:%d%s?reWriteBatchedInserts=true"
                .formatted(address.getHost(), address.getPort(), address.getPath()));
        pool.setUsername(user[0]);
        pool.setPassword(user[1]);
        pool.setMaximumPoolSize(4);
        pool.setMinimumIdle(1);
        return pool;
    }
}
